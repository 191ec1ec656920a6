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

// People and steadied depth of a clip go through all of its frames: their networks' part is cut, and merged at the end.
// What Blender itself builds of people is one task.
const ARRAYS = ["npz", "exr", "png", "glb"];

function compileJob(job) {
  const settings = job.settings;
  const arrays = ARRAYS.indexOf(settings.format) >= 0;
  const merged = settings.frames && arrays && (settings.task === "people" || isSteadied(settings));
  const inParts = settings.frames && (merged || settings.task !== "people");
  const chunks = inParts ? frameChunker(settings.frames, settings.chunk_size) : [""];
  const merge = merged ? author.Task(settings.task + "-merge", "blender") : null;
  for (const chunk of chunks) {
    const task = author.Task(chunk ? settings.task + "-" + chunk : settings.task, "blender");
    task.addCommand(command(settings, "--photo", settings.photo, made(settings, chunk, merged), counted(chunk)));
    job.addTask(task);
    if (merge) merge.addDependency(task);
  }
  if (!merge) return;
  const output = folder(settings.output);
  merge.addCommand(settings.task === "people"
    ? command(settings, "--merge", parts(settings), ["--output", output + "people." + settings.format], 1)
    : command(settings, "--photo", settings.photo, ["--merge", parts(settings), "--output", output,
        "--format", settings.format, "--frames", settings.frames], counted(settings.frames)));
  job.addTask(merge);
}

// What a task writes, and of which frames.
function made(settings, chunk, merged) {
  if (merged && settings.task === "people") return ["--measure", parts(settings) + "/" + chunk + ".npz", "--frames", chunk];
  const words = ["--output", merged ? parts(settings) + "/" : folder(settings.output)];
  words.push("--format", merged ? "npz" : settings.format);
  if (chunk) words.push("--frames", chunk);
  if (chunk && isSteadied(settings)) words.push("--no-steady");
  return words;
}

function isSteadied(settings) {
  return settings.task === "depth" && settings.model !== "relief" && !/--no-steady/.test(settings.options);
}

function counted(frames) {
  return frames && typeof frameCount === "function" ? frameCount(frames) : 1;
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
