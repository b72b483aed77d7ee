"""The KServe SDK's clients of REST (V1 and V2) and of gRPC, against HOST:PORT with a key.

    python kserve_clients.py HOST:PORT KEY
"""
import sys

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from checks import check, finish

HOST, KEY = sys.argv[1:3]
URL = f"http://{HOST}"
HEADERS = {"authorization": f"Bearer {KEY}"}
ROW = (np.arange(64, dtype=np.float32) % 17).reshape(1, 64)


def request(model="digits", **options):
    given = InferInput("X", list(ROW.shape), "FP32")
    given.set_data_from_numpy(ROW, **options)
    return InferRequest(model_name=model, infer_inputs=[given])


def rest(protocol):
    return InferenceRESTClient(RESTConfig(protocol=protocol, retries=0))


@check("REST V1: predict, live, ready")
async def _():
    async with rest("v1") as client:
        answer = await client.infer(URL, {"instances": ROW.tolist()}, headers=HEADERS, model_name="digits")
        assert set(answer["predictions"][0]) == {"label", "probabilities"}, answer
        assert await client.is_model_ready(URL, "digits", headers=HEADERS)


@check("REST V2: infer, JSON and binary")
async def _():
    async with rest("v2") as client:
        for binary in (False, True):
            answer = await client.infer(URL, request(binary_data=binary), headers=dict(HEADERS), model_name="digits")
            outputs = {output.name: output for output in answer.outputs}
            assert outputs["probabilities"].as_numpy().shape == (1, 10), answer


@check("REST V2: server and model, live and ready")
async def _():
    async with rest("v2") as client:
        assert await client.is_server_live(URL, headers=HEADERS)
        assert await client.is_server_ready(URL, headers=HEADERS)
        assert await client.is_model_ready(URL, "digits", headers=HEADERS)


@check("REST: errors")
async def _():
    async with rest("v2") as client:
        try:
            await client.infer(URL, request("nothing"), headers=HEADERS, model_name="nothing")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 404 and "no endpoint" in error.response.json()["error"]
            return
        raise AssertionError("nothing was refused")


@check("gRPC: infer, raw and typed contents")
async def _():
    client = InferenceGRPCClient(url=HOST, retries=0)
    for binary in (False, True):
        answer = await client.infer(request(binary_data=binary), headers=[("authorization", f"Bearer {KEY}")])
        outputs = {output.name: output for output in answer.outputs}
        assert outputs["probabilities"].as_numpy().shape == (1, 10), answer
    await client.close()


@check("gRPC: live and ready")
async def _():
    client = InferenceGRPCClient(url=HOST, retries=0)
    headers = [("authorization", f"Bearer {KEY}")]
    assert await client.is_server_live(headers=headers) and await client.is_server_ready(headers=headers)
    assert await client.is_model_ready("digits", headers=headers)
    await client.close()


finish()
