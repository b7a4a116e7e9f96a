"""Run every fault and write the table of README.md: ``python Testing/faults/run.py``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

import phantoms  # noqa: E402 - after the path was set
import torch  # noqa: E402
from derived_series import as_scanned  # noqa: E402
from dicom_series import write_series  # noqa: E402
from faults.cases import CASES, Case  # noqa: E402
from faults.server import Server, fingerprints, last_words, make_folder, outcome  # noqa: E402

from ArSSRLib import VolumeGeometry, write_volume  # noqa: E402
from ArSSRLib.checkpoint import save_model  # noqa: E402
from ArSSRLib.model.arssr import ArSSRConfig  # noqa: E402
from ArSSRLib.model.arssr2 import ArSSR2Config  # noqa: E402
from ArSSRLib.model.registry import build_model  # noqa: E402

README = Path(__file__).with_name("README.md")
HEAD = """# Faults and their consequences

```console
$ python Testing/faults/run.py  # run every case and write this page
```

After each fault, all files with final names are complete, existing files are unharmed, the input is as the fault left
it, and the next run removes all remains. A killed process prints no message. The tests run the same cases.

| fault | exit code or signal | message | guarantees kept |
| --- | --- | --- | --- |
"""


def prepare(folder: Path) -> None:
    """Create the inputs of a fault: a volume, two files of weights, a DICOM series."""
    geometry = VolumeGeometry((20, 18, 9), (0.9, 1.1, 2.5), (-31.0, 12.5, 47.25), phantoms.rotation(11, -17, 29))
    volume = phantoms.sample(phantoms.blobs_in(geometry), geometry)
    volume = volume.with_array(volume.array.astype("i2"))
    for name in ("in", "weights"):
        (folder / name).mkdir()
    write_volume(volume, folder / "in" / "brain.nrrd")
    tiny = build_model(ArSSR2Config(channels=4, blocks=1, feature_channels=8, decoder_layers=2))
    save_model(tiny, folder / "weights" / "tiny.safetensors", metadata={})
    config = ArSSRConfig(encoder="ResCNN", feature_channels=8, decoder_width=8)
    torch.save(build_model(config).state_dict(), folder / "weights" / "theirs.pkl")
    write_series(folder / "series", volume, edit=as_scanned)


def row(case: Case, number: int, server: Server) -> tuple[str, bool]:
    """Return the line of a case in the table, and whether it kept every promise."""
    folder = Path(tempfile.mkdtemp(prefix="arssr-pytest-"))
    try:
        prepare(folder)
        make_folder(folder, case)
        before = fingerprints(folder)
        code = server.run(number, folder)
        wrong = outcome(case, code, folder, before)
        said = last_words(folder).removeprefix("arssr: error: ").replace(str(folder), "").replace("|", "/")
        ends = "SIGKILL" if code < 0 else str(code)
        shown = said if code == 2 else ""
        return f"| {case.name} | {ends} | {shown} | {'; '.join(wrong) or 'yes'} |\n", not wrong
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run every case; return the number of broken promises."""
    server = Server()
    rows = [row(case, number, server) for number, case in enumerate(CASES)]
    server.close()
    README.write_text(HEAD + "".join(line for line, _ in rows), encoding="utf-8")
    print(README.read_text(encoding="utf-8"))
    return sum(not kept for _, kept in rows)


if __name__ == "__main__":
    sys.exit(main())
