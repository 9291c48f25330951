"""The guest image: kernel from the distribution, our agent as init, an initramfs written by our own cpio writer."""

from workloads.image.build import GuestImage, build, build_async
from workloads.image.errors import CompilerError, ImageError, KernelError

__all__ = ["CompilerError", "GuestImage", "ImageError", "KernelError", "build", "build_async"]
