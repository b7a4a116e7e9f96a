"""The packages that the tasks of the worker need, and the advice if one is missing."""

from __future__ import annotations

from importlib import import_module

from ArSSRLib.errors import DependencyError
from ArSSRLib.process import return_freed_memory, use_large_pages

# Names for the import and for users.
REQUIRED = {"torch": "PyTorch", "psutil": "psutil", "safetensors": "safetensors"}


def load_packages() -> None:
    """Import the packages that every task needs.

    Raises:
        DependencyError: If a package is not installed, or cannot be loaded.
    """
    use_large_pages()
    return_freed_memory()
    for name, title in REQUIRED.items():
        try:
            import_module(name)
        except (ImportError, OSError) as error:  # Windows raises OSError for a library that torch lacks
            source = "with the PyTorch extension of Slicer" if name == "torch" else "from the ArSSR module"
            advice = f"in Slicer {source}, elsewhere by: pip install {name}"
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                msg = f"{title} is not installed; install it {advice}."
            else:
                reason = " ".join(str(error).split()).rstrip(".")
                msg = f"{title} is installed but cannot be loaded ({reason}); reinstall it {advice}."
            raise DependencyError(msg) from error
