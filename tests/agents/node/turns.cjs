// What the three programs beside this have in common: they do one thing after the other,
// and print what they saw, a line of JSON for each.
const fs = require("fs");

// Wait for the test to have done something in between: the same files as in the scenarios.
async function between() {
  fs.writeFileSync("begun", "");
  while (!fs.existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 100));
}

// What an action raises, as far as people look at it; null if nothing.
async function raised(action) {
  try {
    await action();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status ?? null, message: error.message };
  }
}

// An action, and what is raised when it is done once more.
const once = async (action) => [await action(), await raised(action)];

async function run(turns, make) {
  const [names, url, key] = process.argv.slice(2);
  const client = make(url, key); // undefined, if the environment has both
  for (const name of names.split(",")) console.log(JSON.stringify(await turns[name](client)));
  process.exit(0); // sockets of a client may stay open
}

module.exports = { between, once, raised, run };
