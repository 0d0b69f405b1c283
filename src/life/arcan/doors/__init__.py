"""Doors: other people's protocols in front of the same sessions (docs/doors.md).

following           the records of a run, until it ends or comes to rest
telling             a machine's frames over them, and the writes of a response
run_streams         GET /sessions/{id}/events/stream?format=…: one run in a provider's format
requests            reading bodies; who asks
conversations       which session a request continues, and what it must not run twice
answers             a whole run as one answer
openai_chat         POST /v1/chat/completions, GET /v1/models
openai_responses    POST /v1/responses and what belongs to it
anthropic_messages  POST /v1/messages
ai_sdk              POST /ai-sdk/chat: the AI SDK's chat transport, approvals included
ag_ui               POST /ag-ui/runs
webhooks            subscriptions (api, state, delivery, signature)
"""
