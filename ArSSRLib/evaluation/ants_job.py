"""N4 and Atropos of ANTs on one volume, in a separate Python environment: ``ants_job.py JOB.json``.

That environment has antspyx but not ArSSR, whose versions of NumPy and SciPy conflict with it, so this file imports
nothing of ArSSR. `segmentation` starts it and defines the job.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

NO_ANTS = 3
# Of the coarsest bias field, in mm; by default, the field of a small crop would equalize gray and white matter.
SPLINE_DISTANCE = 200


def segment(ants: Any, job: dict[str, Any]) -> None:  # noqa: ANN401 - a module has no narrower type
    """Correct the bias field of a volume, segment it inside its mask, and write its labels.

    Args:
        ants: The package.
        job: Files "image", "mask" and "labels"; "classes", the number of classes; "priors", one file per class or none,
            and the corresponding "template" image.

    Source:
        Tustison et al. 2010, https://doi.org/10.1109/TMI.2010.2046908 (N4); Avants et al. 2011,
        https://doi.org/10.1007/s12021-011-9109-y (Atropos). The settings are those of ANTs' antsAtroposN4.sh.
    """
    image, mask = ants.image_read(job["image"]), ants.image_read(job["mask"])
    corrected = ants.n4_bias_field_correction(image, mask=mask, spline_param=SPLINE_DISTANCE)
    start: Any = f"KMeans[{job['classes']}]"
    if job["priors"]:
        template = ants.image_read(job["template"])
        inside = corrected * mask
        found = ants.registration(fixed=inside, moving=template, type_of_transform="SyN")
        start = [
            ants.apply_transforms(fixed=inside, moving=ants.image_read(prior), transformlist=found["fwdtransforms"])
            for prior in job["priors"]
        ]
    tissues = ants.atropos(a=corrected, x=mask, i=start, m="[0.1,1x1x1]", c="[5,0]", priorweight=0.25)
    ants.image_write(tissues["segmentation"].clone("unsigned char"), job["labels"])


def main(path: str) -> int:
    """Run the job in a file; return 3 if this Python has no ANTs."""
    try:
        import ants  # noqa: PLC0415 - the exit code reports a missing package
    except ImportError as error:
        print(error, file=sys.stderr)
        return NO_ANTS
    segment(ants, json.loads(Path(path).read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
