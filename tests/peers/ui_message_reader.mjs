// Reads one UI message stream with the AI SDK's own chat transport and message reader, and prints what it made of it as JSON.
//   node ui_message_reader.mjs <package: ai | ai-v6> <url> <POST | GET>
const [packageName, url, method] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = await import(packageName);

const headers = {};
const transport = new DefaultChatTransport({
  api: url,
  fetch: async (input, init) => {
    const response = await fetch(url, { ...init, method, body: method === 'POST' ? init.body : undefined });
    headers.stream = response.headers.get('x-vercel-ai-ui-message-stream');
    return response;
  },
});
const stream = await transport.sendMessages({
  chatId: 'chat', trigger: 'submit-message', messageId: undefined, abortSignal: undefined,
  messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'hello' }] }],
});
const chunks = [];
const errors = [];
let message = null;
const watched = stream.pipeThrough(new TransformStream({
  transform(chunk, controller) { chunks.push(chunk); controller.enqueue(chunk); },
}));
for await (const state of readUIMessageStream({ stream: watched, onError: (error) => errors.push(String(error.message ?? error)) })) message = state;
console.log(JSON.stringify({ headers, chunks, errors, message }));
