"""The header of a derived MR image: attributes copied from the source, and new ones.

Attributes are copied by name, never as a whole: private attributes, overlays, lookup tables and descriptions of the
source voxels are not copied. The modules are those of the MR image, DICOM PS3.3 A.4.3,
https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.4.3.html
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from pydicom import DataElement, Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage, generate_uid

from ArSSRLib import __version__
from ArSSRLib.io.derivation import MANUFACTURER, Derivation
from ArSSRLib.io.intensities import image_types

# Patient and examination: required with or without a value.
_EMPTY_IF_UNKNOWN = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyID
    PositionReferenceIndicator PatientPosition ScanOptions MRAcquisitionType RepetitionTime EchoTime
    EchoTrainLength
    """.split()  # noqa: SIM905 - keywords read better without quotes
_OPTIONAL = """
    SpecificCharacterSet TimezoneOffsetFromUTC
    IssuerOfPatientID PatientBirthTime OtherPatientIDsSequence OtherPatientNames PatientComments
    PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence
    ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence
    LongitudinalTemporalInformationModified
    StudyDescription IssuerOfAccessionNumberSequence ProcedureCodeSequence ReferencedStudySequence
    PatientAge PatientSize PatientWeight PregnancyStatus AdmissionID PatientState AdditionalPatientHistory
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID
    ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointID
    BodyPartExamined Laterality ProtocolName AnatomicRegionSequence AnatomicalOrientationType RequestAttributesSequence
    AcquisitionDate AcquisitionTime AcquisitionDateTime AcquisitionNumber
    ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute ContrastBolusVolume ContrastBolusStartTime
    ContrastBolusTotalDose ContrastBolusIngredient
    ScanningSequence SequenceVariant SequenceName AngioFlag InversionTime NumberOfAverages ImagingFrequency
    ImagedNucleus EchoNumbers MagneticFieldStrength NumberOfPhaseEncodingSteps PercentSampling
    PercentPhaseFieldOfView PixelBandwidth TriggerTime ReceiveCoilName TransmitCoilName AcquisitionMatrix
    InPlanePhaseEncodingDirection FlipAngle VariableFlipAngleFlag SAR
    PhotometricInterpretation BurnedInAnnotation RecognizableVisualFeatures
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    WindowCenter WindowWidth WindowCenterWidthExplanation VOILUTFunction
    """.split()  # noqa: SIM905 - keywords read better without quotes
_EQUIPMENT = """
    Manufacturer InstitutionName StationName ManufacturerModelName DeviceSerialNumber SoftwareVersions
    """.split()  # noqa: SIM905 - keywords read better without quotes
# Multi-frame files store some attributes of single slices in functional groups, partly under other names.
_OTHER_NAMES = {"EchoTime": "EffectiveEchoTime", "InversionTime": "InversionTimes"}
_PULSE_SEQUENCES = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}
# Added to the series number of the source, so that the derived series is sorted after all acquired series.
_SERIES_NUMBER_STEP = 1000
_LONGEST_NAME = 64
_LONGEST_TEXT = 1024


def series_header(source: Dataset, derivation: Derivation) -> Dataset:
    """Return the common attributes of all slices of a derived series, from the header of one image of its source."""
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.Modality = "MR"
    header.StudyInstanceUID = source.StudyInstanceUID
    header.SeriesInstanceUID = generate_uid(prefix=None)
    header.FrameOfReferenceUID = source.get("FrameOfReferenceUID") or generate_uid(prefix=None)
    header.SeriesNumber = int(source.get("SeriesNumber") or 0) + _SERIES_NUMBER_STEP
    # The label is kept if the whole would be too long, because it distinguishes the two series.
    room = _LONGEST_NAME - len(derivation.label) - 1
    described = " ".join(str(source.get("SeriesDescription") or "MR").split())[:room].rstrip()
    header.SeriesDescription = f"{described} {derivation.label}"
    now = _now(str(source.get("TimezoneOffsetFromUTC") or ""))
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(header, f"{name}Date", now.strftime("%Y%m%d"))
        setattr(header, f"{name}Time", now.strftime("%H%M%S.%f"))
    header.Manufacturer = header.ManufacturerModelName = MANUFACTURER
    header.SoftwareVersions = __version__
    header.ContentQualification = "RESEARCH"
    header.DerivationDescription = _plain(derivation.text, _LONGEST_TEXT)
    header.DerivationCodeSequence = [_code(codes.DCM.SpatialResampling)]
    header.ContributingEquipmentSequence = [
        _acquisition_equipment(source),
        _processing_equipment(derivation, now.strftime("%Y%m%d%H%M%S.%f")),
    ]
    return header


def slice_header(groups: Sequence[Dataset]) -> Dataset:
    """Return the attributes that a derived slice copies from the nearest slice of the source.

    ``groups`` are the attributes of the source, the most specific first: functional groups of the frame, those shared
    by all frames, and the file itself; for a single slice, only the file.
    """
    kept = Dataset()
    for name in [*_EMPTY_IF_UNKNOWN, *_OPTIONAL]:
        element = _find(groups, name)
        if element is not None:
            kept.add(element)
        elif name in _EMPTY_IF_UNKNOWN:
            setattr(kept, name, None)
    if "BodyPartExamined" not in kept and "Laterality" not in kept:
        kept.Laterality = None  # required for a paired body part; the side is unknown
    pulse = _find(groups, "EchoPulseSequence")
    if "ScanningSequence" not in kept:
        kept.ScanningSequence = _PULSE_SEQUENCES.get("" if pulse is None else str(pulse.value), ["RM"])
    if "SequenceVariant" not in kept:
        kept.SequenceVariant = "NONE"
    said = [] if pulse is not None else image_types(groups[-1])
    kept.ImageType = ["DERIVED", "SECONDARY", *(said[2:] or ["OTHER"])]
    return kept


def references(source_images: Iterable[tuple[Dataset, int | None]]) -> Dataset:
    """Return the attributes by which a slice refers to its source images: headers, and numbers of frames, from 1."""
    said = Dataset()
    said.SourceImageSequence = []
    instances: dict[str, Dataset] = {}
    series = ""
    for source, frame in source_images:
        instance = Dataset()
        instance.ReferencedSOPClassUID = source.SOPClassUID
        instance.ReferencedSOPInstanceUID = source.SOPInstanceUID
        instances.setdefault(str(source.SOPInstanceUID), copy.deepcopy(instance))
        if frame is not None:
            instance.ReferencedFrameNumber = frame
        instance.PurposeOfReferenceCodeSequence = [_code(codes.DCM.SourceImageForImageProcessingOperation)]
        said.SourceImageSequence.append(instance)
        series = source.SeriesInstanceUID
    item = Dataset()
    item.SeriesInstanceUID = series
    item.ReferencedInstanceSequence = list(instances.values())
    said.ReferencedSeriesSequence = [item]
    return said


def _find(groups: Sequence[Dataset], name: str) -> DataElement | None:
    """Return an element that has a value, by its name in a single slice."""
    for group in groups:
        for dataset in (group, *_items(group)) if group is not groups[-1] else (group,):
            for candidate in (name, _OTHER_NAMES.get(name)):
                if candidate is None or candidate not in dataset or dataset[candidate].is_empty:
                    continue
                element = copy.deepcopy(dataset[candidate])
                if candidate == name:
                    return element
                renamed = Dataset()
                setattr(renamed, name, round(float(element.value if element.VM == 1 else element.value[0]), 6))
                return renamed[name]
    return None


def _items(group: Dataset) -> Iterator[Dataset]:
    for element in group:
        if element.VR == "SQ" and not element.tag.is_private:
            yield from element.value


def _acquisition_equipment(source: Dataset) -> Dataset:
    scanner = Dataset()
    for name in _EQUIPMENT:
        if source.get(name):
            scanner[name] = copy.deepcopy(source[name])
    scanner.Manufacturer = source.get("Manufacturer") or "UNKNOWN"
    scanner.PurposeOfReferenceCodeSequence = [_code(codes.DCM.AcquisitionEquipment)]
    return scanner


def _processing_equipment(derivation: Derivation, moment: str) -> Dataset:
    program = Dataset()
    program.Manufacturer = program.ManufacturerModelName = MANUFACTURER
    # One value each, at most 64 characters: the checksum fits exactly, but not if it were last and padded.
    program.SoftwareVersions = [__version__, derivation.sha256, _plain(derivation.model, _LONGEST_NAME - 1)]
    program.ContributionDateTime = moment
    program.ContributionDescription = _plain(derivation.text, _LONGEST_TEXT)
    program.PurposeOfReferenceCodeSequence = [_code(codes.DCM.ProcessingEquipment)]
    return program


def _plain(text: str, longest: int) -> str:
    """Return our own text for any character set of the source; a backslash would separate values."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[:longest]


def _code(concept: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = concept.value
    item.CodingSchemeDesignator = concept.scheme_designator
    item.CodeMeaning = concept.meaning
    return item


def _now(offset: str) -> datetime:
    """Return the time in the time zone of the file, such as "+0130", or otherwise in that of this machine."""
    with contextlib.suppress(ValueError):
        return datetime.now(datetime.strptime(offset, "%z").tzinfo)
    return datetime.now().astimezone()
