// The openai SDK for Node. Arguments: turns, the base URL, the key; the last two may be in the environment.
const https = require("https");
const net = require("net");
const { OpenAI } = require("openai");
const { ResponsesWS } = require("openai/resources/responses/ws");
const { OpenAIRealtimeWS } = require("openai/realtime/ws");
const { between, once, raised, run } = require("./turns.cjs");

// The SDK makes every base URL of Realtime one of wss, also that of a sidecar: dial without TLS.
class Plainly extends https.Agent {
  createConnection({ host, port }) {
    return net.connect(port, host);
  }
}

const MESSAGES = [{ role: "user", content: "Good morning" }];
const INPUT = "Good morning";
const ASKED = { type: "response.create", model: "mock-1", input: MESSAGES };

const realtime = (client) => new OpenAIRealtimeWS({ model: "mock-1", options: { agent: new Plainly() } }, client);

// Ask on a WebSocket, and ask again when that was answered: the answer, and what is raised then.
function twice(socket, asked, begins, ends) {
  return new Promise((resolve) => {
    let [told, left] = ["", 2];
    const ask = () => (left-- ? socket.send(asked) : resolve([told, null]));
    socket.on("error", (error) => resolve([told, { kind: error.constructor.name, message: error.message }]));
    socket.on("event", (event) => {
      if (event.type.endsWith("output_text.delta")) told += event.delta;
      if (event.type === begins || event.type === ends) ask();
    });
    if (!begins) ask();
  });
}

const turns = {
  async chat(client) {
    const got = await client.chat.completions.create({ model: "mock-1", messages: MESSAGES });
    return got.choices[0].message.content;
  },
  async chat_stream(client) {
    let text = "";
    const stream = await client.chat.completions.create({ model: "mock-1", messages: MESSAGES, stream: true });
    for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    return text;
  },
  async responses(client) {
    return (await client.responses.create({ model: "mock-1", input: INPUT })).output_text;
  },
  async responses_stream(client) {
    const stream = client.responses.stream({ model: "mock-1", input: INPUT });
    return (await stream.finalResponse()).output_text;
  },
  async models(client) {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
  // Two responses on one WebSocket.
  connect(client) {
    return new Promise((resolve, reject) => {
      const texts = [];
      const socket = new ResponsesWS(client);
      const ask = () => socket.send(ASKED);
      socket.on("error", reject);
      socket.on("event", (event) => {
        if (event.type !== "response.completed") return;
        texts.push(event.response.output[0].content[0].text);
        if (texts.length < 2) return ask();
        socket.close();
        resolve(texts);
      });
      ask();
    });
  },
  realtime(client) {
    return new Promise((resolve, reject) => {
      let text = "";
      const socket = realtime(client);
      socket.on("error", reject);
      socket.on("session.created", () => socket.send({ type: "response.create" }));
      socket.on("response.output_text.delta", (event) => (text += event.delta));
      socket.on("response.done", () => {
        socket.close();
        resolve(text);
      });
    });
  },
  spent_chat: (client) => once(() => turns.chat(client)),
  spent_responses_stream: (client) => once(() => turns.responses_stream(client)),
  spent_connect: (client) => twice(new ResponsesWS(client), ASKED, null, "response.completed"),
  spent_realtime: (client) => twice(realtime(client), { type: "response.create" }, "session.created", "response.done"),
  cut: (client) => raised(() => turns.chat_stream(client)),
  async twice(client) {
    const first = await turns.responses(client);
    await between();
    return [first, await turns.responses(client)];
  },
};

run(turns, (url, key) => new OpenAI({ baseURL: url, apiKey: key }));
