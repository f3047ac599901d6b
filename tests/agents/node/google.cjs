// The @google/genai SDK for Node. Arguments: turns, the base URL, the key; the last two may be in the environment.
const { GoogleGenAI } = require("@google/genai");
const { between, once, raised, run } = require("./turns.cjs");

const ASKED = { model: "gemini-2.5-flash", contents: "Good morning" };

// Turns on one WebSocket of Live: the text of each, or how it was closed.
function conversation(client, count) {
  return new Promise((resolve, reject) => {
    const seen = [];
    let text = "";
    let session = null;
    const ask = () => session.sendClientContent({ turns: "Good morning" });
    const onmessage = (message) => {
      text += message.serverContent?.modelTurn?.parts?.[0]?.text ?? "";
      if (!message.serverContent?.turnComplete) return;
      seen.push(text);
      text = "";
      if (seen.length < count) return ask();
      session.close();
      resolve(seen);
    };
    const onclose = ({ code, reason }) => resolve([...seen, { kind: "CloseEvent", status: code, message: reason }]);
    const callbacks = { onmessage, onclose, onerror: (event) => reject(event.error ?? event) };
    client.live.connect({ model: ASKED.model, config: { responseModalities: ["TEXT"] }, callbacks }).then((opened) => {
      session = opened;
      ask();
    }, reject);
  });
}

const turns = {
  async generate(client) {
    return (await client.models.generateContent(ASKED)).text;
  },
  async stream(client) {
    let text = "";
    for await (const chunk of await client.models.generateContentStream(ASKED)) text += chunk.text ?? "";
    return text;
  },
  async count_tokens(client) {
    return (await client.models.countTokens(ASKED)).totalTokens;
  },
  async live(client) {
    return (await conversation(client, 1))[0];
  },
  spent_generate: (client) => once(() => turns.generate(client)),
  spent_stream: (client) => once(() => turns.stream(client)),
  spent_live: (client) => conversation(client, 2),
  failing: (client) => raised(() => turns.generate(client)),
  cut: (client) => raised(() => turns.stream(client)),
  async twice(client) {
    const first = await turns.generate(client);
    await between();
    return [first, await turns.generate(client)];
  },
};

run(turns, (url, key) => new GoogleGenAI(url ? { apiKey: key, httpOptions: { baseUrl: url } } : {}));
