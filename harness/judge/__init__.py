"""Records + promises and requirements → findings. Pure.

Expected values are literals from claims and scenarios; neither `rules` nor `embedded` may be imported, so a
wrong rule cannot agree with itself.
"""
