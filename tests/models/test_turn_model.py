import pytest
import torch

from turnstream.models.config import EncoderConfig, ModelConfig, RecurrentConfig, StackConfig
from turnstream.models.projection import swapped_classes
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ..networks import (
    CONFIGS,
    chunk_sizes,
    conversation_in_chunks,
    largest_difference,
    random_audio,
    random_model,
    whole_conversation,
)

STEPS = 30
# Some processors multiply the last rows of a matrix in another order than the first rows.
# With the same order, exchanged speakers give exchanged outputs bit for bit.
ROUNDING = 1e-6
NAMES = [*CONFIGS, "default"]


def model_and_audio(name: str) -> tuple[TurnModel, torch.Tensor]:
    model = random_model(CONFIGS.get(name, ModelConfig()))
    return model, random_audio(model.config, batch=2, steps=STEPS)


@pytest.mark.parametrize("name", NAMES)
def test_any_chunks_equal_the_whole(name: str) -> None:
    model, audio = model_and_audio(name)
    whole = whole_conversation(model, audio)
    for sizes in chunk_sizes(STEPS, longest=11).values():
        assert largest_difference(conversation_in_chunks(model, audio, sizes), whole) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_losing_any_one_part_of_the_state_breaks_the_parity_by_orders_of_magnitude(
    name: str,
) -> None:
    model, audio = model_and_audio(name)
    whole = whole_conversation(model, audio)
    for entry in model.layout.entries:

        def forget(
            state: torch.Tensor, first: int = entry.offset, last: int = entry.offset + entry.size
        ) -> torch.Tensor:
            rows = state.reshape(-1, model.layout.speaker_size).clone()
            rows[:, first:last] = 0
            return rows.reshape(state.shape)

        assert (
            largest_difference(conversation_in_chunks(model, audio, [1] * STEPS, forget), whole)
            > 1e-3
        ), entry.name


@pytest.mark.parametrize("name", NAMES)
def test_future_audio_never_changes_one_bit_of_earlier_output(name: str) -> None:
    model, audio = model_and_audio(name)
    future = audio.clone()
    future[:, :, 17 * model.config.frame_samples :] = 0.5
    for before, after in zip(
        whole_conversation(model, audio), whole_conversation(model, future), strict=True
    ):
        assert torch.equal(before[:, :, :17], after[:, :, :17])
        assert not torch.equal(before[:, :, 17:], after[:, :, 17:])


@pytest.mark.parametrize("name", NAMES)
def test_swapping_the_channels_swaps_every_output_exactly(name: str) -> None:
    model, audio = model_and_audio(name)
    output, swapped = whole_conversation(model, audio), whole_conversation(model, audio.flip(1))
    for field, ours, theirs in zip(output._fields, output, swapped, strict=True):
        torch.testing.assert_close(
            ours,
            theirs.flip(1),
            atol=ROUNDING,
            rtol=0,
            msg=lambda text, field=field: f"{field}: {text}",
        )
        assert (ours - theirs).abs().max() > 1000 * ROUNDING, field
    for ours, theirs in zip(model.probabilities(output), model.probabilities(swapped), strict=True):
        torch.testing.assert_close(ours, theirs.flip(1), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_swapping_the_halves_of_the_state_swaps_the_speakers(name: str) -> None:
    model, audio = model_and_audio(name)
    half = model.layout.speaker_size
    with torch.inference_mode():
        _, state = model(audio, model.init_state(2))
        _, swapped = model(audio.flip(1), model.init_state(2))
    torch.testing.assert_close(
        torch.cat([swapped[:, half:], swapped[:, :half]], dim=1), state, atol=ROUNDING, rtol=0
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_two_views_of_the_projection_are_one_distribution_with_the_speakers_exchanged(
    name: str,
) -> None:
    model, audio = model_and_audio(name)
    first, second = whole_conversation(model, audio).projection.unbind(1)
    assert torch.equal(first[..., torch.from_numpy(swapped_classes())], second)


@pytest.mark.parametrize("name", NAMES)
def test_shares_sum_to_one_and_probabilities_are_probabilities(name: str) -> None:
    model, audio = model_and_audio(name)
    probabilities = model.probabilities(whole_conversation(model, audio))
    for field, p in zip(probabilities._fields, probabilities, strict=True):
        assert p.shape == (2, 2, STEPS)
        assert ((p >= 0) & (p <= 1)).all(), field
    for shares in (probabilities.p_now, probabilities.p_future, probabilities.p_next):
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, STEPS), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_mel_frames_give_the_same_outputs_as_audio(name: str) -> None:
    model, audio = model_and_audio(name)
    features = model.config.features
    with torch.inference_mode():
        mel, _ = model.features(
            audio.flatten(0, 1), torch.zeros(4, features.window_samples - features.hop_samples)
        )
        output, state = model.forward_mel(mel.unflatten(0, (2, 2)), model.init_mel_state(2))
        _, pcm_state = model(audio, model.init_state(2))
    assert largest_difference(output, whole_conversation(model, audio)) <= 1e-6
    tail = model.layout.speaker_size - model.mel_layout.speaker_size
    torch.testing.assert_close(
        state.reshape(4, -1), pcm_state.reshape(4, -1)[:, tail:], atol=1e-6, rtol=0
    )


def test_conversations_of_a_batch_do_not_touch_each_other() -> None:
    model, audio = model_and_audio("tiny")
    together = whole_conversation(model, audio)
    for b in range(2):
        assert (
            largest_difference(
                [part[b : b + 1] for part in together], whole_conversation(model, audio[b : b + 1])
            )
            <= 1e-5
        )
    other = audio.clone()
    other[1] = 0.9
    for before, after in zip(together, whole_conversation(model, other), strict=True):
        assert torch.equal(before[0], after[0])


def test_each_speaker_hears_the_other_in_all_but_the_speakers_own_layer() -> None:
    model, audio = model_and_audio("tiny")
    other = audio.clone()
    other[:, 1] = 0.9 * torch.rand_like(other[:, 1])
    before, after = whole_conversation(model, audio), whole_conversation(model, other)
    for field in ("latent_speaker", "completeness"):
        assert torch.equal(getattr(before, field)[:, 0], getattr(after, field)[:, 0]), field
        assert not torch.equal(getattr(before, field)[:, 1], getattr(after, field)[:, 1]), field
    for field in ("vad", "next", "backchannel", "projection", "latent"):
        assert not torch.equal(getattr(before, field)[:, 0], getattr(after, field)[:, 0]), field


@pytest.mark.parametrize("samples", [0, 1, 319, 321])
def test_audio_that_is_no_whole_number_of_frames_is_refused(
    tiny_model: TurnModel, samples: int
) -> None:
    with pytest.raises(
        ConfigError, match=f"expected audio in whole frames of 320 samples, got {samples} samples"
    ):
        tiny_model(torch.zeros(1, 2, samples), tiny_model.init_state(1))


def test_mel_frames_that_do_not_fill_a_step_are_refused() -> None:
    model = random_model(CONFIGS["lstm_2d_gated_stride_concat"])
    with pytest.raises(ConfigError, match="expected mel frames in multiples of 2, got 3"):
        model.forward_mel(torch.zeros(1, 2, 3, 16), model.init_mel_state(1))


def test_a_network_with_memory_in_its_features_alone_takes_no_mel_frames() -> None:
    encoder = EncoderConfig(
        channels=4, out_channels=4, first_kernel=1, stacks=(StackConfig((1,), (1,)),)
    )
    model = TurnModel(
        ModelConfig(
            encoder=encoder,
            speaker_rnn=RecurrentConfig("none", 4),
            dialogue_rnn=RecurrentConfig("none", 4),
        )
    )
    model(torch.zeros(1, 2, 320), model.init_state(1))
    with pytest.raises(
        ConfigError,
        match=(
            "expected a kernel > 1 or a recurrent layer to take log-mel frames, got a network "
            "whose only memory"
        ),
    ):
        model.init_mel_state(1)


def test_a_mel_state_of_another_size_is_refused_with_both_sizes(tiny_model: TurnModel) -> None:
    got, expected = tiny_model.layout.size, tiny_model.mel_layout.size
    with pytest.raises(ConfigError, match=f"expected a state of {expected} floats, got {got}"):
        tiny_model.forward_mel(torch.zeros(1, 2, 1, 16), tiny_model.init_state(1))
