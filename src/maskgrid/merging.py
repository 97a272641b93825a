"""stub"""

from typing import Any


def merge_setting(plan: Any, label: str) -> None:
    plan.layout.annotations(label).write_text("{}")
