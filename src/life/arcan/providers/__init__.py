"""Model providers: one file per kind of API, all behind `life.aios.ports.provider.ModelProvider`.

scripted            plays a script, or answers by a function; needs no key and no network
demo                what `scripted` does without a script
anthropic           the Messages API, with the official client (anthropic_request, anthropic_answer)
openai_responses    OpenAI's Responses API, with the official client
openai_compatible   Chat Completions, with the official client: OpenAI, Ollama and whatever speaks the same
gemini              the Gemini API, with the official client (gemini_request, gemini_answer)
ollama              which models an Ollama server has, and whether it is there
recording           writes real answers into a file, and answers from it
refused_thoughts    thoughts that their own vendor does not accept any more
translation         what every translation into a vendor's words needs: call ids, images, whose reasoning goes along

selection           specifications such as `anthropic:claude-sonnet-5-5`, and what they name
opening             from a specification to a provider, with everything around it
fallback            a chain: the next is asked when one can't answer
retry               asks again, politely, before the first piece of an answer
guarded             circuit, rate limit, time limits and price around one vendor
circuit             leaves a service alone that failed several times in a row
rate_limit          requests and tokens per minute
pricing             what a call costs, from the dated table prices.toml
"""
