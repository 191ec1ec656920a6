// SPDX-License-Identifier: GPL-3.0-or-later
// A job type for Flamenco: photos, movies and numbered pictures through a task of Maquette, in chunks of frames.
// It belongs into the folder `scripts` beside flamenco-manager; docs/pipelines.md tells how.

const JOB_TYPE = {
  label: "Maquette",
  description: "Depth, normals, hands, image passes or people of photos and clips, by the Maquette extension.",
  settings: [
    { key: "task", type: "string", required: true, default: "depth",
      choices: ["depth", "normals", "hands", "maps", "relief", "people"], description: "What is made" },
    { key: "photo", type: "string", subtype: "file_path", required: true,
      description: "Movie, folder, numbered pictures (f.####.png), or photos (*.jpg)" },
    { key: "frames", type: "string", required: false, default: "",
      eval: "f'{C.scene.frame_start}-{C.scene.frame_end}'",
      evalInfo: { showLinkButton: true, description: "Scene frame range" },
      description: "Frames by the clip's own numbers, such as 1-300; empty does all in one task" },
    { key: "chunk_size", type: "int32", default: 50, propargs: { min: 1 }, visible: "submission",
      description: "Frames of a task" },
    { key: "output", type: "string", subtype: "dir_path", required: true, description: "Folder of the results" },
    { key: "format", type: "string", default: "npz",
      choices: ["npz", "exr", "png", "glb", "blend", "fbx", "usdc"], description: "Of the files" },
    { key: "model", type: "string", default: "", description: "Model; empty takes the best that is installed" },
    { key: "options", type: "string", default: "", description: "Further options of the command line" },
  ],
};

// People of a clip are one problem over all of its frames.
const WHOLE = ["people"];

function compileJob(job) {
  const settings = job.settings;
  const inParts = settings.frames && WHOLE.indexOf(settings.task) < 0;
  const chunks = inParts ? frameChunker(settings.frames, settings.chunk_size) : [""];
  for (const chunk of chunks) {
    const task = author.Task(chunk ? settings.task + "-" + chunk : settings.task, "blender");
    const count = chunk && typeof frameCount === "function" ? frameCount(chunk) : 1;
    task.addCommand(command(settings, chunk, count));
    job.addTask(task);
  }
}

// Workers demand a .blend file between the arguments before and behind it; the photo takes its place.
function command(settings, chunk, steps) {
  const behind = ["--output", folder(settings.output), "--format", settings.format, "--continue", "--report", "flamenco"];
  if (chunk) behind.push("--frames", chunk);
  if (chunk && settings.task === "depth") behind.push("--no-steady"); // which goes through all frames
  if (settings.model) behind.push("--model", settings.model);
  return author.Command("blender-render", {
    exe: "{blender}",
    argsBefore: ["--command", "maquette", settings.task, "--photo"],
    blendfile: settings.photo,
    args: behind.concat(shellSplit(settings.options || "")),
  }, steps);
}

function folder(name) {
  return /[\/\\]$/.test(name) ? name : name + "/";
}
