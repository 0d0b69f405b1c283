"""Model providers: one file per kind of API, all behind `life.aios.ports.provider.ModelProvider`.

scripted            plays a script, or answers by a function; needs no key and no network
demo                what `scripted` does without a script
anthropic           the Messages API, with the official client
openai_compatible   Chat Completions, with the official client: OpenAI, Ollama and whatever speaks the same
retry               asks again, politely, before the first piece of an answer
selection           from a specification such as `anthropic:claude-sonnet-5-5` to a provider
"""
