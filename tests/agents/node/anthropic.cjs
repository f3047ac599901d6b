// The @anthropic-ai/sdk for Node. Arguments: turns, the base URL, the key; the last two may be in the environment.
const { Anthropic, toFile } = require("@anthropic-ai/sdk");
const { between, once, raised, run } = require("./turns.cjs");

const ASKED = { model: "mock-1", max_tokens: 64, messages: [{ role: "user", content: "Good morning" }] };

const turns = {
  async messages(client) {
    return (await client.messages.create(ASKED)).content[0].text;
  },
  async stream(client) {
    return await client.messages.stream(ASKED).finalText();
  },
  async count_tokens(client) {
    const { model, messages } = ASKED;
    return (await client.messages.countTokens({ model, messages })).input_tokens;
  },
  async models(client) {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
  async batches(client) {
    const names = [];
    for await (const batch of client.messages.batches.list()) names.push(batch.id);
    return names;
  },
  async upload(client) {
    const files = client.files ?? client.beta.files;
    const file = await toFile(Buffer.from("x".repeat(100000)), "notes.txt", { type: "text/plain" });
    const got = await files.upload({ file });
    return [got.filename, got.size_bytes];
  },
  spent_messages: (client) => once(() => turns.messages(client)),
  spent_stream: (client) => once(() => turns.stream(client)),
  cut: (client) => raised(() => turns.stream(client)),
  async twice(client) {
    const first = await turns.messages(client);
    await between();
    return [first, await turns.messages(client)];
  },
};

run(turns, (url, key) => new Anthropic({ baseURL: url, apiKey: key }));
