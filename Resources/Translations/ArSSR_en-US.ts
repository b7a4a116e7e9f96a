<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US" sourcelanguage="en_US">
<context>
    <name>ArSSR</name>
    <message>
        <source>For research, not for diagnosis: added detail is an estimate, not a measurement. Trained on T1-weighted brains; for volumes that are smooth by nature (templates, smoothed data, EPI, statistical maps), set the slice thickness to point samples.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Volumes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Input volume:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The volume to upsample. It is never changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The volume to upsample. It is never changed. Label maps are not listed, because labels must not be interpolated.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Region:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsample only the part inside a Markups ROI.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsample only the part inside a Markups ROI. The voxels around it are still taken into account.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Whole volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR region</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Output volume:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where to store the result.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Where to store the result: in a new volume, or in an existing one, which is replaced.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>New volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR output</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All &amp;frames of the sequence</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsample every frame of the sequence that the input volume belongs to, into a new sequence.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Resolution</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Choose by:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How the new voxel size is chosen.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How the new voxel size is chosen: one factor, a factor for each axis, a spacing in mm, or the finest spacing of the volume for every axis.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Scale:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Resolution of the result.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Drag to choose the factor for all axes. For factors above 4, type a number in the box.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Factor for all axes: any number from 1 to 16.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source> x</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Factor along axis I.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Factor along axis J.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Factor along axis K.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target voxel spacing along axis I of the volume, in mm. An axis that is already finer is kept.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target voxel spacing along axis J of the volume, in mm. An axis that is already finer is kept.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target voxel spacing along axis K of the volume, in mm. An axis that is already finer is kept.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All axes get the finest spacing of the volume.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Result:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What Apply will produce.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Select an input volume.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Quality and slices</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Quality:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How much time a result may take.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draft uses the fastest model. Best averages the results of the standard model over the eight mirror images of the volume.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice thic&amp;kness:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How the thickness of the slices is determined; it may differ from the distance between them.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>By default, the thickness stated in the file is used; if there is none, it is estimated from the volume. Choose point samples for volumes that are smooth by nature, such as templates and smoothed data; otherwise, edges may be added to them.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice thickness in mm along the axis with the largest spacing, as stated in the scan protocol. The correct value makes the result sharper; a wrong one makes it worse.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source> mm</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Not stated</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice profile:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slice profile that is used for the result, and its source: the thickness stated above, the DICOM files or the sidecar of the volume, or an estimate from its voxels.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A&amp;gree with the scan</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Correct the result so that it agrees with the scan when it is averaged back to the voxels of the scan (data consistency). Done only if the slice profile is known.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>E&amp;ven out slice brightness</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Even out differences in brightness between slices that were acquired one by one, where they can be distinguished from anatomy.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Uncertainty map</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Also create a volume with the standard deviation of the results of the mirror images, per voxel. Requires the quality Best.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Model and device</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Model:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The network to use.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The network to use. Its card describes what it was trained on.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use weights from a file (.safetensors, or a checkpoint of the published code).</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Card</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show what the model was trained on, its license, the contrast it is meant for and its checksum.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model card.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Device:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Device to compute on.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Device to compute on. Every GPU that PyTorch can use is listed by name.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Check</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Look for PyTorch and GPUs again, and run a test on each device.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memor&amp;y limit:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory that the run may use.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory that the run may use on the device, in GB. A smaller limit means smaller tiles, which take longer and give the same result.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source> GB</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Part of the free memory</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch has not been checked yet.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>I&amp;nstall PyTorch...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install PyTorch through the PyTorch extension. Nothing is downloaded before you agree.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Live previe&amp;w</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show a preview of the result in a lens in a slice view. Click in a view to bring the lens there, and drag to move it. Nothing is added to the scene.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Apply</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cance&amp;l</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop the run. Nothing is left behind.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Progress of the run.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compare</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Resul&amp;t volume:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A volume made by ArSSR.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A volume made by ArSSR, to be compared with the volume it was made from.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>None</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>S&amp;how:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How before and after are shown.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Side by side in linked views, with a divider that follows the mouse, or in one view that flips when F is pressed. F works in every mode.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Com&amp;pare</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Show the input, interpolated by cubic splines, and the result. Press F to flip between them. Click again to return to your layout.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Diff&amp;erence view</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Add a third view with the result minus the interpolated input.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>E&amp;xport as derived DICOM series...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Write the result as a new series of the same study, marked as derived, if its input was loaded from DICOM.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Log</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What has been logged since the module was opened.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Nothing has been logged yet.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy the log to the clipboard, to send with a question. It contains names of volumes and folders: remove those that identify a patient.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Clear</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Empty the log.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The comparison cannot be shown.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.about</name>
    <message>
        <source>Reduces the voxel size of MR volumes with a neural network, by one factor for all axes or a different one for each. The result is exactly aligned with the original. For research, not for diagnosis.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The method: Wu Q. et al., &lt;a href=&quot;https://doi.org/10.1109/JBHI.2022.3223106&quot;&gt;An Arbitrary Scale Super-Resolution Approach for 3D MR Images via Implicit Neural Representation&lt;/a&gt;, IEEE JBHI 27 (2023).</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.choosers</name>
    <message>
        <source>Automatic (the fastest)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>CPU</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>CPU build</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch is not installed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>the file no longer exists</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>License {license}; made for {contrast}; factors {least} to {largest}, up to {thick} along one axis; SHA-256 `{checksum}`</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Isotropic factor</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Per axis</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Target spacing</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Make isotropic</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draft</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Standard</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Best: about 8 times as long</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>As stated in the file, or estimated</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>As stated in the file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>As stated here:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Point samples, for smooth volumes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Unknown</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>By quality: {model}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>built for CUDA {version}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch {version}, {build}.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>**{name}**: weights from a file, without a card. Ask its author.

SHA-256 `{checksum}`</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name}, {memory} free, passed the test.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No GPU was found, so the CPU is used, which is slower.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The CPU is used, which is slower. If this computer has an NVIDIA GPU, reinstall PyTorch with a CUDA backend in the module PyTorch Utils.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name} failed the test: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The CPU is used although {name} is available.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.compare</name>
    <message>
        <source>Cubic {spacing}: {name}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR minus cubic {spacing}: {name}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Side by side</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Swipe: the divider follows the mouse</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Flicker: press F</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Cubic spline, {spacing}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR, {spacing}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{spacing} mm</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>black -{largest}, gray 0, white +{largest}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR minus cubic</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.controller</name>
    <message>
        <source>Nothing yet.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Install PyTorch first: see Model and device.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Create the upsampled volume. The input is not changed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Starting</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Canceling...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Loading the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Reading the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Upsampling</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Writing the result</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Adding the result to the scene</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Agrees with the scan to within {percent} % of its range</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Canceled. Nothing was left behind.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Select an input volume.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Started: {name}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{stage}, frame {volume} of {volumes}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{stage}, {time} left</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Done: {name}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Failed: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Canceled: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.dependencies</name>
    <message>
        <source>ArSSR needs PyTorch, which is not installed yet. Press Install PyTorch to see what would be downloaded.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR needs packages that are not part of Slicer. These would be downloaded and installed:</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>They are installed into Slicer&apos;s Python and can be removed later (PyTorch in the module PyTorch Utils). No image data is sent anywhere. Install them now?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch {version} is installed, but not {missing}. Press Install PyTorch to add it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR: install PyTorch</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The PyTorch extension, through which ArSSR installs PyTorch, is not installed. Open the Extensions Manager, install the extension named PyTorch, restart Slicer and press Install PyTorch again.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch {version} is installed.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch {version} is too old; ArSSR needs {requirement}. Press Install PyTorch to update it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>PyTorch {version} is installed, but cannot be used: {reason} It would be removed and installed again. Close other modules that use PyTorch first.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{state} See Model and device in the ArSSR module.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>- PyTorch {requirement}, through the PyTorch extension, in the build that fits this computer: about 0.2 GB to download and 1 GB on disk for a CPU, about 3 GB to download and 7 GB on disk for an NVIDIA GPU</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>- {packages}: less than 2 MB</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{what} could not be installed ({reason}). Check the network connection and the proxy, restart Slicer and try again; View &gt; Python Console shows the output of pip.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.dicom</name>
    <message>
        <source>Choose where to create the folder of the new DICOM series</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Slicer&apos;s DICOM database did not accept them; import the folder in the DICOM module to see why.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>They are in Slicer&apos;s DICOM database now.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The DICOM series was not written.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The derived DICOM series was written to {folder}.

Add it to Slicer&apos;s DICOM database, beside the series that it was made from? The database refers to the files in that folder; they are not copied.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR: new DICOM series</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} DICOM files were written to {folder}.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.engine_section</name>
    <message>
        <source>Weights (*.safetensors *.pkl *.pt *.pth)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Weights file</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Testing the devices...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The devices could not be tested: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>it does not start.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.estimate</name>
    <message>
        <source>{size} voxels of {spacing} mm</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>CPU</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>GPU</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A factor of {factor} is beyond what the model was trained for (up to {largest}, and {thick} along one axis alone): check the result carefully.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} h</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{frames} frames of {text}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>about {memory} of memory</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>, {time} on the {device}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Other programs are keeping this computer busy; the run is faster without them.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{count} min</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.preview</name>
    <message>
        <source>exact</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>quick</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Loading the preview...</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR {scale}, {state}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>agreement with the scan</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>averaging</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The preview has ended: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>before {steps}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.profile_section</name>
    <message>
        <source>slices of {width} mm, {spacing} mm apart ({source})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>acquired voxels of {width} mm, stored every {spacing} mm ({source})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>point samples every {spacing} mm ({source})</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{name}: {profile} are ignored, because they do not match the detail in the volume</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The volume has not been examined yet.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The result is made to agree with the scan.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The result is not made to agree with the scan, because the slice profile is unknown.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The slice profile could not be estimated: {reason}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{names}: unknown</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.reader</name>
    <message>
        <source>ArSSR result</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{path}: Slicer cannot read this volume; create it again, or download the file again.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{path}: this uncertainty map is not on the grid of its result, so it was not linked to it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{path}: was changed after it was made: its voxels are not those of its record. The volume was loaded without its record.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{path}: its voxels could not be compared with those of its record.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{error} The volume was loaded without its record.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.sample_data</name>
    <message>
        <source>The sample data set could not be loaded.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.selftest</name>
    <message>
        <source>ArSSR: a phantom was upsampled; its corners moved by {moved} mm.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ArSSR: nothing was upsampled. {state}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.uncertainty_overlay</name>
    <message>
        <source>colored: uncertainty {lowest} to {highest}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ArSSRPanel.views</name>
    <message>
        <source>{across} x {down} mm</source>
        <translation type="unfinished"></translation>
    </message>
</context>
</TS>
