"""No language: the baseline that the other methods are measured against."""

from __future__ import annotations

from bridgeseg.extend import Settings, register_method
from bridgeseg.models.base import Parts, Site


@register_method("none", about="no language: the baseline", needs_text=False)
def none(settings: Settings, site: Site) -> Parts:
    """Build nothing."""
    return Parts()
