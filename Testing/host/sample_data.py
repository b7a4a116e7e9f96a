"""Stand-in for Slicer's SampleData module: data sets can be registered; nothing is downloaded."""

from __future__ import annotations

import dataclasses
from typing import Any

import slicer


@dataclasses.dataclass(frozen=True)
class SampleDataSource:
    """A data set in the Sample Data module."""

    sampleName: str | None = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    customDownloader: Any = None
    thumbnailFileName: str | None = None
    loadFileTypes: Any = None
    loadFiles: Any = None
    loadFileProperties: Any = None
    checksums: Any = None


class SampleDataLogic:
    """Stores the data sets."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **details: Any) -> None:
        """Register a data set; repeated registration is ignored."""
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {}).setdefault(category, [])
        source = SampleDataSource(**details)
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """Return the data sets of one category, or all, by category."""
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {})
        return sources if category is None else sources.get(category, [])
