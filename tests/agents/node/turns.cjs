// What the three programs beside this have in common: they do one thing, and print it as JSON.
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

async function run(turns, make) {
  const [turn, url, key] = process.argv.slice(2);
  console.log(JSON.stringify(await turns[turn](make(url, key))));
  process.exit(0); // sockets of a client may stay open
}

module.exports = { between, raised, run };
