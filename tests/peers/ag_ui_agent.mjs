// Runs an agent with AG-UI's own HttpAgent, which checks the order of events, and prints what it saw as JSON.
//   node ag_ui_agent.mjs <url> <text> <answer: yes | no | none>
import { HttpAgent } from '@ag-ui/client';

const [url, text, answer] = process.argv.slice(2);
const agent = new HttpAgent({ url, threadId: 'thread' });
const runs = [];
async function run(parameters) {
  const seen = { events: [], errors: [] };
  runs.push(seen);
  await agent.runAgent(parameters, {
    onEvent: ({ event }) => { seen.events.push(event); },
    onRunFailed: ({ error }) => { seen.errors.push(String(error.message ?? error)); },
  });
  return seen;
}
agent.addMessage({ id: 'u1', role: 'user', content: text });
const first = await run({ runId: 'r1' });
const finished = first.events.at(-1);
if (answer !== 'none' && finished.outcome?.type === 'interrupt') {
  const resume = finished.outcome.interrupts.map((interrupt) => ({
    interruptId: interrupt.id, status: 'resolved', payload: { approved: answer === 'yes' },
  }));
  await run({ runId: 'r2', resume });
}
console.log(JSON.stringify({ runs, messages: agent.messages, state: agent.state }));
