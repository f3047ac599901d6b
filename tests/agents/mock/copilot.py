"""GitHub Copilot: its list of models, chat and Responses without ``/v1``."""

from tests.agents.mock.model import Json


def _model(name: str, endpoints: list[str], default: bool) -> Json:
    return {
        "id": name,
        "name": name,
        "object": "model",
        "vendor": "Mock",
        "version": name,
        "preview": False,
        "model_picker_enabled": True,
        "is_chat_default": default,
        "is_chat_fallback": default,
        "policy": {"state": "enabled", "terms": ""},
        "billing": {"is_premium": False, "multiplier": 0},
        "supported_endpoints": endpoints,
        "capabilities": {
            "family": name,
            "object": "model_capabilities",
            "type": "chat",
            "tokenizer": "o200k_base",
            "limits": {
                "max_context_window_tokens": 264000,
                "max_output_tokens": 64000,
                "max_prompt_tokens": 200000,
            },
            "supports": {
                "streaming": True,
                "tool_calls": True,
                "parallel_tool_calls": True,
                "structured_outputs": True,
            },
        },
    }


MODELS: Json = {
    "object": "list",
    "data": [
        _model("gpt-5-mini", ["/chat/completions", "/responses", "ws:/responses"], True)
    ],
}
