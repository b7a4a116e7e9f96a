// Written by `python Testing/supply/recipes.py`. With the container of Resources/Deployment/Dockerfile:
//   nextflow run Resources/Deployment/arssr.nf -with-docker --bids_dir STUDY --output_dir RESULTS --isotropic true
nextflow.enable.dsl = 2

params.bids_dir = null  // root of a BIDS data set; its scans are never changed
params.output_dir = null  // folder to write the derivatives to
params.session_label = null  // sessions, without ses- (default: all)
params.suffix = null  // suffixes of the scans (default: T1w T2w FLAIR)
params.bids_filter_file = null  // file with filters of BIDS entities, as for fMRIPrep
params.skip_bids_validation = null  // do not check the data set first; the check uses the official validator if it is installed
params.scale = null  // factor of at least 1, or three factors along i, j, k
params.spacing = null  // voxel spacing in mm, or three spacings along i, j, k
params.size = null  // number of voxels along i, j, k
params.isotropic = null  // bring every axis to the finest spacing of the volume
params.model = null  // model name or weights file (default: arssr3-draft for --quality draft, arssr3 for --quality standard or best)
params.device = null  // device to compute on: auto, cpu, cuda, cuda:N or mps (default: auto)
params.backend = null  // torch: PyTorch; openvino: run the encoder with OpenVINO, CPU only; fused: kernels for CUDA GPUs, experimental (default: torch)
params.precision = null  // number format of the computation; int8 needs --backend openvino (default: auto)
params.slice_thickness = null  // slice thickness in mm of the thickest axis, or three along i, j, k; points: every voxel is a point sample, for volumes that are smooth by nature; file: only what the file states; unknown: ignore the file, too (default: what the file states, otherwise an estimate from the volume)
params.memory_limit = null  // memory limit in GB (default: a part of the free memory)
params.quality = null  // draft: the fastest model; best: the mean over eight mirror images of the volume, which takes about 8 times as long (default: standard)
params.consistency = null  // auto: correct the result to agree with the scan where the slice profile is known; off: never (default: auto)
params.even_slices = null  // auto: even out brightness differences between slices acquired one by one; off: never (default: auto)
params.force = null  // upsample a scan even if it looks like a label map
params.overwrite = null  // replace results that were made from another input, model or options
params.uncertainty = null  // also write the standard deviation over the mirror images; needs --quality best

process ARSSR_BIDS {
    tag "sub-${participant}"
    container 'arssr:0.1.0'
    containerOptions { workflow.containerEngine == 'docker' ? "--entrypoint ''" : '' }
    cpus 4
    memory { 6.GB * task.attempt }
    errorStrategy { task.attempt < 3 ? 'retry' : 'ignore' }
    maxRetries 2
    publishDir params.output_dir, mode: 'copy', overwrite: true, pattern: 'results/**', saveAs: { it - 'results/' }

    input:
    path bids_dir
    val participant
    val options

    output:
    path 'results/**'

    script:
    """
    export OMP_NUM_THREADS=${task.cpus}
    arssr bids ${bids_dir} results participant --participant-label ${participant} ${options}
    """
}

workflow {
    // The option of each parameter. A parameter that is true is an option without a value.
    def flags = [
        session_label: '--session-label',
        suffix: '--suffix',
        bids_filter_file: '--bids-filter-file',
        skip_bids_validation: '--skip-bids-validation',
        scale: '--scale',
        spacing: '--spacing',
        size: '--size',
        isotropic: '--isotropic',
        model: '--model',
        device: '--device',
        backend: '--backend',
        precision: '--precision',
        slice_thickness: '--slice-thickness',
        memory_limit: '--memory-limit',
        quality: '--quality',
        consistency: '--consistency',
        even_slices: '--even-slices',
        force: '--force',
        overwrite: '--overwrite',
        uncertainty: '--uncertainty'
    ]
    def options = flags
        .findAll { name, flag -> params[name] != null && params[name] != false }
        .collect { name, flag -> params[name] == true ? flag : "${flag} ${params[name]}" }
        .join(' ')
    participants = Channel
        .fromPath("${params.bids_dir}/sub-*", type: 'dir')
        .map { folder -> folder.name - 'sub-' }
    ARSSR_BIDS(file(params.bids_dir), participants, options)
}
