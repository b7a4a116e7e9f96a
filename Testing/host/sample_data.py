"""Stand-in for Slicer's SampleData module: data sets can be registered; nothing is downloaded."""

from __future__ import annotations

import dataclasses
from typing import Any

import slicer


@dataclasses.dataclass(frozen=True)
class SampleDataSource:
    """A data set that the Sample Data module would offer."""

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
    """Knows the data sets."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **details: Any) -> None:
        """Offer a data set; a second registration of the same one is ignored."""
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {}).setdefault(category, [])
        source = SampleDataSource(**details)
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """Return the data sets of one category, or all, by category."""
        sources = slicer.modules.__dict__.setdefault("sampleDataSources", {})
        return sources if category is None else sources.get(category, [])
