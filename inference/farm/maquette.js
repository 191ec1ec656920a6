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

// People of a clip are one problem over all of its frames: their networks' part is cut, and merged at the end. What
// Blender itself builds of them is one task.
const MERGED = ["npz", "png", "glb"];

function compileJob(job) {
  const settings = job.settings;
  const people = settings.task === "people";
  const inParts = settings.frames && (!people || MERGED.indexOf(settings.format) >= 0);
  const chunks = inParts ? frameChunker(settings.frames, settings.chunk_size) : [""];
  const merge = people && inParts ? author.Task("people-merge", "blender") : null;
  for (const chunk of chunks) {
    const task = author.Task(chunk ? settings.task + "-" + chunk : settings.task, "blender");
    const count = chunk && typeof frameCount === "function" ? frameCount(chunk) : 1;
    task.addCommand(command(settings, "--photo", settings.photo, made(settings, chunk), count));
    job.addTask(task);
    if (merge) merge.addDependency(task);
  }
  if (!merge) return;
  const people_file = folder(settings.output) + "people." + settings.format;
  merge.addCommand(command(settings, "--merge", parts(settings), ["--output", people_file], 1));
  job.addTask(merge);
}

// What a task writes, and of which frames.
function made(settings, chunk) {
  if (chunk && settings.task === "people") return ["--measure", parts(settings) + "/" + chunk + ".npz", "--frames", chunk];
  const words = ["--output", folder(settings.output), "--format", settings.format];
  if (chunk) words.push("--frames", chunk);
  if (chunk && settings.task === "depth") words.push("--no-steady"); // which goes through all frames
  return words;
}

// Workers demand a .blend file between the arguments before and behind it; what is read takes its place.
function command(settings, flag, read, words, steps) {
  const behind = words.concat(["--continue", "--report", "flamenco"]);
  if (settings.model) behind.push("--model", settings.model);
  return author.Command("blender-render", {
    exe: "{blender}",
    argsBefore: ["--command", "maquette", settings.task, flag],
    blendfile: read,
    args: behind.concat(shellSplit(settings.options || "")),
  }, steps);
}

function parts(settings) {
  return folder(settings.output) + "parts";
}

function folder(name) {
  return /[\/\\]$/.test(name) ? name : name + "/";
}
