"""The OpenAI client, unchanged, against HOST:PORT with a key; the endpoint `chat` says back what it is told.

    python openai_client.py HOST:PORT KEY
"""
import sys

import openai

from checks import check, finish

HOST, KEY = sys.argv[1:3]


def client(path="/v1", key=KEY):
    return openai.OpenAI(base_url=f"http://{HOST}{path}", api_key=key, max_retries=0)


def say(content):
    return [{"role": "user", "content": content}]


@check("a chat completion, with KServe's prefix and without")
def _():
    for path in ("/v1", "/openai/v1"):
        answer = client(path).chat.completions.create(model="chat", messages=say("one two"))
        assert answer.choices[0].message.content == "one two", answer


@check("a chat completion that streams")
def _():
    words = []
    for chunk in client().chat.completions.create(model="chat", messages=say("one two three"), stream=True):
        words.append(chunk.choices[0].delta.content.strip())
    assert words == ["one", "two", "three"], words


@check("a stream that is given up")
def _():
    stream = client().chat.completions.create(model="chat", messages=say("now wait"), stream=True)
    assert next(iter(stream)).choices[0].delta.content == "now "
    stream.close()


@check("asynchronous streams side by side")
async def _():
    import asyncio

    async with openai.AsyncOpenAI(base_url=f"http://{HOST}/v1", api_key=KEY, max_retries=0) as other:

        async def one(at):
            text = " ".join(f"word{at}" for _ in range(20))
            stream = await other.chat.completions.create(model="chat", messages=say(text), stream=True)
            return [chunk.choices[0].delta.content async for chunk in stream]

        for at, words in enumerate(await asyncio.gather(*(one(at) for at in range(20)))):
            assert words == [f"word{at} "] * 20, words


@check("models")
def _():
    assert [model.id for model in client("/openai/v1").models.list()] == ["chat"]
    assert client("/openai/v1").models.retrieve("chat").id == "chat"
    assert "chat" in [model.id for model in client().models.list()]


@check("errors are the client's own kinds")
def _():
    for error, call in (
        (openai.NotFoundError, lambda: client().chat.completions.create(model="nothing", messages=say("a"))),
        (openai.AuthenticationError, lambda: client(key="no").chat.completions.create(model="chat", messages=say("a"))),
        (openai.BadRequestError, lambda: client().chat.completions.create(model="chat", messages=[], extra_body={"fail": 1})),
    ):
        try:
            call()
        except error:
            continue
        raise AssertionError(f"no {error}")


finish()
