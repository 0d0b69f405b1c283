// An agent of npm @a2a-js/sdk: signs its card with a fresh key, echoes what it hears, waits when it hears "hang".
//   node a2a_server.mjs --jwk=<private JWK> --did=<its did:key>
import { AgentCard, generateAgentCardSignature, Role, TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';
import express from 'express';
import { options, serve } from './arguments.mjs';

const { jwk, did, port } = options({ jwk: undefined, did: undefined, port: '0' });
const waiting = new Map();
const executor = {
  async execute(context, bus) {
    const { taskId, contextId, userMessage } = context;
    const text = userMessage.parts.map((part) => (part.content?.$case === 'text' ? part.content.value : '')).join('');
    const status = (state) => bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: { state, message: undefined, timestamp: new Date().toISOString() }, metadata: {} }));
    bus.publish(AgentEvent.task({
      id: taskId, contextId, status: { state: TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: new Date().toISOString() },
      history: [userMessage], artifacts: [], metadata: {},
    }));
    status(TaskState.TASK_STATE_WORKING);
    if (text === 'hang') {
      await new Promise((resolve) => waiting.set(taskId, resolve));
      status(TaskState.TASK_STATE_CANCELED);
      bus.finished();
      return;
    }
    bus.publish(AgentEvent.artifactUpdate({
      taskId, contextId, append: false, lastChunk: true, metadata: {},
      artifact: { artifactId: 'a', name: 'echo', description: '', metadata: {}, extensions: [],
        parts: [{ content: { $case: 'text', value: `echo ${text}` }, metadata: {}, filename: '', mediaType: 'text/plain' }] },
    }));
    status(TaskState.TASK_STATE_COMPLETED);
    bus.finished();
  },
  async cancelTask(taskId) { waiting.get(taskId)?.(); },
};
const app = express();
let handler;
app.use((request, response, next) => (handler ? handler(request, response, next) : next()));
serve({
  listen(at, host, done) {
    const server = app.listen(at, host, async (error) => {
      const base = `http://127.0.0.1:${server.address().port}`;
      const card = await generateAgentCardSignature(JSON.parse(jwk), { alg: 'ES256', kid: did, typ: 'JOSE' })(AgentCard.fromJSON({
        name: 'Echo', description: 'Says it again.', version: '1',
        supportedInterfaces: [
          { url: `${base}/rpc`, protocolBinding: 'JSONRPC', protocolVersion: '1.0' },
          { url: `${base}/rest`, protocolBinding: 'HTTP+JSON', protocolVersion: '1.0' },
        ],
        capabilities: { streaming: true, pushNotifications: false },
        defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'],
        skills: [{ id: 'echo', name: 'Echo', description: 'Says it again.', tags: ['text'] }],
      }));
      const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), executor);
      const router = express.Router();
      const userBuilder = UserBuilder.noAuthentication;
      router.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
      router.use('/rpc', jsonRpcHandler({ requestHandler, userBuilder }));
      router.use('/rest', restHandler({ requestHandler, userBuilder }));
      handler = router;
      done(error);
    });
    return server;
  },
}, port);
