// Chats with the AI SDK's own transport and message reader, answering what the stream asks, and prints what it saw as JSON.
//   node ai_sdk_chat.mjs <package: ai | ai-v6> <url> <text> <answer: yes | no | none>
const [packageName, url, text, answer] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream, isToolUIPart, lastAssistantMessageIsCompleteWithApprovalResponses } = await import(packageName);

const posts = [];
const transport = new DefaultChatTransport({ api: url });
async function post(messages) {
  const stream = await transport.sendMessages({
    chatId: 'chat', trigger: 'submit-message', messageId: undefined, abortSignal: undefined, messages,
  });
  const seen = { chunks: [], errors: [], message: null };
  const watched = stream.pipeThrough(new TransformStream({
    transform(chunk, controller) { seen.chunks.push(chunk); controller.enqueue(chunk); },
  }));
  const last = messages.at(-1);
  const options = last.role === 'assistant' ? { message: last } : {};
  for await (const state of readUIMessageStream({ ...options, stream: watched, onError: (error) => seen.errors.push(String(error.message ?? error)) })) seen.message = state;
  posts.push(seen);
  return seen.message;
}
const user = { id: 'u1', role: 'user', parts: [{ type: 'text', text }] };
let message = await post([user]);
if (answer !== 'none') {
  const answered = structuredClone(message);
  for (const part of answered.parts) {
    if (isToolUIPart(part) && part.state === 'approval-requested') {
      part.state = 'approval-responded';
      part.approval = { ...part.approval, approved: answer === 'yes', reason: answer === 'yes' ? undefined : 'Not today.' };
    }
  }
  const sends = lastAssistantMessageIsCompleteWithApprovalResponses({ messages: [user, answered] });
  posts.push({ sends });
  message = await post([user, answered]);
}
console.log(JSON.stringify({ posts, message }));
