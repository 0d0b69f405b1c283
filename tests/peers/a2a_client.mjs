// Calls an A2A agent with npm @a2a-js/sdk and prints what it saw as JSON.
//   node a2a_client.mjs <base url> <JSONRPC | HTTP+JSON> <JWK of the card's key>
import {
  CancelTaskRequest, DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest, ListTasksRequest,
  SendMessageRequest, StreamResponse, SubscribeToTaskRequest, Task, TaskPushNotificationConfig, verifyAgentCardSignature,
} from '@a2a-js/sdk';
import {
  ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory,
} from '@a2a-js/sdk/client';

const [base, binding, jwk] = process.argv.slice(2);
// A daemon wants a token of its own for every request; without tokens the agent of the tests believes a header.
const tokens = JSON.parse(process.env.AGENT_TOKENS ?? '[]');
const who = () => (tokens.length > 0 ? { authorization: `Bearer ${tokens.shift()}` } : { 'x-owner': 'agent:js', 'x-approve': '1' });
const fetchImpl = (url, init = {}) => fetch(url, {
  ...init, headers: { ...Object.fromEntries(new Headers(init.headers)), ...who() },
});
const card = await new DefaultAgentCardResolver({ fetchImpl }).resolve(base);
const verify = verifyAgentCardSignature(async () => JSON.parse(jwk));
// The SDK's verifier reads the document as it was served: of a card that it has parsed before, it loses the security schemes.
const served = await (await fetchImpl(`${base}/.well-known/agent-card.json`)).json();
await verify(served);
let refused = false;
console.debug = () => {};
try { await verify({ ...served, name: `${served.name}!` }); } catch { refused = true; }
const transport = binding === 'JSONRPC' ? new JsonRpcTransportFactory({ fetchImpl }) : new RestTransportFactory({ fetchImpl });
const factory = new ClientFactory(ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
  transports: [transport], preferredTransports: [binding],
}));
const client = await factory.createFromAgentCard(card);
const message = (text, messageId, more = {}) => SendMessageRequest.fromJSON({
  message: { messageId, role: 'ROLE_USER', parts: [{ text }], ...more },
});
const all = async (events) => {
  const seen = [];
  for await (const event of events) seen.push(StreamResponse.toJSON(event));
  return seen;
};
const failure = async (call) => {
  try { await call(); return 'none'; } catch (error) { return error.constructor.name; }
};
const said = Task.toJSON(await client.sendMessage(message('hello', 'm-1')));
const streamed = await all(client.sendMessageStream(message('again', 'm-2', { contextId: said.contextId })));
const got = Task.toJSON(await client.getTask(GetTaskRequest.fromJSON({ id: said.id, historyLength: 1 })));
const listed = await client.listTasks(ListTasksRequest.fromJSON({ contextId: said.contextId, pageSize: 1 }));
const asked = Task.toJSON(await client.sendMessage(message('sign it', 'm-3', { contextId: said.contextId })));
const config = TaskPushNotificationConfig.fromJSON({ taskId: asked.id, id: 'c', url: 'http://127.0.0.1:9/', token: 't' });
await client.createTaskPushNotificationConfig(config);
const kept = await client.getTaskPushNotificationConfig(
  GetTaskPushNotificationConfigRequest.fromJSON({ taskId: asked.id, id: 'c' }));
const configs = await client.listTaskPushNotificationConfig(
  ListTaskPushNotificationConfigsRequest.fromJSON({ taskId: asked.id }));
await client.deleteTaskPushNotificationConfig(
  DeleteTaskPushNotificationConfigRequest.fromJSON({ taskId: asked.id, id: 'c' }));
const following = all(client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id: asked.id })));
const cancelled = Task.toJSON(await client.cancelTask(CancelTaskRequest.fromJSON({ id: asked.id })));
const extended = await client.getAgentCard(); // the extended one, as the card says that there is one
console.log(JSON.stringify({
  refused, said, streamed, got, asked, cancelled, kept: kept.token, configs: configs.configs.length,
  listed: { total: listed.totalSize, tasks: listed.tasks.length, next: listed.nextPageToken !== '' },
  followed: await following, extended: extended.skills.map((skill) => skill.id),
  errors: [
    await failure(() => client.getTask(GetTaskRequest.fromJSON({ id: 'nothing' }))),
    await failure(() => client.cancelTask(CancelTaskRequest.fromJSON({ id: asked.id }))),
    await failure(() => client.sendMessage(message('more', 'm-9', { taskId: asked.id }))),
    await failure(() => client.sendMessage(SendMessageRequest.fromJSON({
      message: { messageId: 'm-10', role: 'ROLE_USER', parts: [{ url: 'https://files.example/a' }] } }))),
  ],
}));
