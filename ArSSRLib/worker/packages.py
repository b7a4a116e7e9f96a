"""The packages that the tasks of the worker need, and the advice if one is missing."""

from __future__ import annotations

from importlib import import_module

from ArSSRLib.errors import DependencyError
from ArSSRLib.process import let_threads_sleep, return_freed_memory, use_large_pages

# Names for the import and for users.
REQUIRED = {"torch": "PyTorch", "psutil": "psutil", "safetensors": "safetensors"}


def load_packages(*, interactive: bool = False) -> None:
    """Import the packages that every task needs, and set up memory and threads for them.

    Args:
        interactive: Whether users wait for short answers. Waiting threads then spin on an idle computer: a plane of
            the preview takes 0.8 instead of 1.1 seconds. Otherwise, they leave the processor to Slicer.

    Raises:
        DependencyError: If a package is not installed, or cannot be loaded.
    """
    let_threads_sleep(always=not interactive)
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
