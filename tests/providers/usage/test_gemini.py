"""Tests of ``apiproxy.providers.usage.gemini``."""

from twisted.trial.unittest import SynchronousTestCase

from apiproxy.core.usage import Usage
from apiproxy.providers.usage.gemini import gemini_usage, told_any
from apiproxy.providers.usage.shapes import Metadata, Modality


class GeminiTests(SynchronousTestCase):
    def test_images_and_speech_are_told_by_kind(self) -> None:
        """What a tool put into the prompt, too."""
        told = Metadata(
            prompt_token_count=20,
            response_token_count=8,
            tool_use_prompt_token_count=5,
            prompt_tokens_details=[Modality("AUDIO", 6), Modality("TEXT", 14)],
            tool_use_prompt_tokens_details=[Modality("IMAGE", 5)],
            response_tokens_details=[Modality("AUDIO", 8)],
        )
        self.assertEqual(
            gemini_usage(told),
            Usage(
                input=25,
                output=8,
                audio_input=6,
                audio_output=8,
                image_input=5,
                inclusive=True,
            ),
        )

    def test_nothing_told_is_nothing(self) -> None:
        """Vertex begins streams with the kind of traffic alone."""
        self.assertFalse(told_any(Metadata(traffic_type="ON_DEMAND")))
        self.assertTrue(told_any(Metadata(thoughts_token_count=0)))
