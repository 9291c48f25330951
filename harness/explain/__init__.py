"""Spec + rules (+ records): preflight, `explain`, `why`. Pure: it explains and predicts, it never judges."""
