"""The encoders: from what is put in at each position to a state that has seen the positions up to it alone.

Positions without a play (``known`` false) pass on nothing; their own state is what the encoder says without a history.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models.recommend.sequence.config import GRU4RecConfig, TransformerConfig
from models.recommend.sequence.layers import AGE_BUCKETS, Dense, Norm, age_buckets, ages, dropped

CLOSED = 1e4  # far beyond where the sigmoid of a 32-bit number is 1
UNROLLED = 8  # steps of an answer that are one round of the loop: a round costs more than its step


class Recurrence(tf.Module):
    """Gated recurrent units (Cho et al. 2014), as in GRU4Rec; the state is forgotten where a session begins."""

    def __init__(self, config: GRU4RecConfig, generator: np.random.Generator):
        super().__init__(name="gru")
        dim = config.dim
        self.inputs = [Dense(generator, dim, 3 * dim, f"gru_input_{i}") for i in range(config.layers)]
        self.gates = [Dense(generator, dim, 2 * dim, f"gru_gates_{i}") for i in range(config.layers)]
        self.candidate = [Dense(generator, dim, dim, f"gru_candidate_{i}") for i in range(config.layers)]
        self.norm = Norm(dim, "gru_norm")
        self.fused: list[dict[str, tf.Variable]] = []
        self._dropout, self._dim = config.dropout, dim

    def fuse(self) -> None:
        """Answer from now on by TensorFlow's ``GRUBlockCell``, one operation a step, with the weights as they are now;
        it has no gradient and LiteRT has none of it."""
        self.fused = [self._weights_of_block(layer) for layer in range(len(self.inputs))]

    def __call__(self, x: tf.Tensor, known: tf.Tensor, sessions: tf.Tensor | None, training: bool) -> tf.Tensor:
        """float32 [B, T, D] of inputs of that shape; known: bool [B, T]; sessions: int32 [B, T], None to look back
        over all of them."""
        keep = tf.cast(known, tf.float32)[:, :, None]
        hold = None
        if sessions is not None:
            before = tf.pad(sessions[:, :-1], [[0, 0], [1, 0]], constant_values=-1)
            hold = tf.cast(before == sessions, tf.float32)[:, :, None]
        inputs, fused = x, self.fused and not training and x.shape[1]
        for layer in range(len(self.inputs)):
            if fused:
                states = self._run_fused(layer, x, keep, hold)
            else:
                states = self._run(layer, dropped(x, self._dropout, training), keep, hold, training)
            x = states if layer == 0 else x + states
        return self.norm(x + inputs)

    def _run(self, layer: int, x: tf.Tensor, keep: tf.Tensor, hold: tf.Tensor | None, training: bool) -> tf.Tensor:
        """A loop over blocks of steps."""
        batch, length, dim = tf.shape(x)[0], tf.shape(x)[1], self._dim
        unrolled = 1 if training else UNROLLED
        inputs, cell = self._cell(layer, x)
        parts = [inputs, keep] if hold is None else [inputs, keep, hold]

        def steps(states, now):
            out = [states[-1]]
            for into, kept, *held in zip(*(tf.unstack(part, unrolled) for part in now), strict=True):
                state = out[-1] * held[0] if held else out[-1]
                out.append(tf.where(kept > 0, cell(into, state), state))
            return tf.stack(out[1:])

        blocks, first = [_in_blocks(part, unrolled) for part in parts], tf.zeros([unrolled, batch, dim])
        states = tf.scan(steps, blocks, initializer=first)
        return tf.transpose(tf.reshape(states, [-1, batch, dim])[:length], [1, 0, 2])

    def _run_fused(self, layer: int, x: tf.Tensor, keep: tf.Tensor, hold: tf.Tensor | None) -> tf.Tensor:
        """All steps one after another: their number is known beforehand. That there is no play is an input more."""
        inputs = tf.unstack(tf.concat([x, 1.0 - keep], 2), axis=1)
        holds = [None] * len(inputs) if hold is None else tf.unstack(hold, axis=1)
        out = [tf.zeros_like(x[:, 0])]
        for now, held in zip(inputs, holds, strict=True):
            state = out[-1] if held is None else out[-1] * held
            out.append(tf.raw_ops.GRUBlockCell(x=now, h_prev=state, **self.fused[layer]).h)
        return tf.stack(out[1:], 1)

    def _cell(self, layer: int, x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """What a layer makes of all inputs beforehand, float32 [B, T, 3 D], and of one of them and the state before."""
        gates, candidate, dim = self.gates[layer], self.candidate[layer], self._dim
        of_gates, of_candidate = tf.identity(gates.kernel), tf.identity(candidate.kernel)  # read once, not each step

        def cell(into: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
            update, reset = tf.split(tf.sigmoid(into[:, : 2 * dim] + state @ of_gates), 2, 1)
            new = tf.tanh(into[:, 2 * dim :] + (reset * state) @ of_candidate)
            return state + update * (new - state)

        return self.inputs[layer](x) + tf.concat([gates.bias, candidate.bias], 0), cell

    def _weights_of_block(self, layer: int) -> dict[str, tf.Variable]:
        """The weights of ``GRUBlockCell``, which knows the reset gate first, and the update gate as what is kept: all
        is, where the last input says that there is no play."""
        gates, candidate, inputs = self.gates[layer], self.candidate[layer], self.inputs[layer]
        update, reset, new = np.split(inputs.kernel.numpy(), 3, 1)
        of_update, of_reset = np.split(gates.kernel.numpy(), 2, 1)
        by_update, by_reset = np.split(gates.bias.numpy() + inputs.bias.numpy()[: 2 * self._dim], 2)
        nothing = np.zeros([1, self._dim], np.float32)
        weights = {
            "w_ru": np.block([[reset, -update], [nothing, nothing + CLOSED], [of_reset, -of_update]]),
            "b_ru": np.concatenate([by_reset, -by_update]),
            "w_c": np.concatenate([new, nothing, candidate.kernel.numpy()]),
            "b_c": candidate.bias.numpy() + inputs.bias.numpy()[2 * self._dim :],
        }
        return {k: tf.Variable(v, trainable=False, name=f"gru_{k}_{layer}") for k, v in weights.items()}


def _in_blocks(x: tf.Tensor, n: int) -> tf.Tensor:
    """float32 [ceil(T / n), n, B, D] of [B, T, D], zeros after the last position."""
    missing = -tf.shape(x)[1] % n
    padded = tf.transpose(tf.pad(x, [[0, 0], [0, missing], [0, 0]]), [1, 0, 2])
    return tf.reshape(padded, [-1, n, tf.shape(x)[0], x.shape[2]])


class Attention(tf.Module):
    """Causal self-attention in pre-norm blocks, as in SASRec; how long ago a play was enters as a bias by its age
    (Raffel et al. 2020) in place of SASRec's absolute positions, so that a window may start anywhere."""

    def __init__(self, config: TransformerConfig, generator: np.random.Generator):
        super().__init__(name="attention")
        dim, layers = config.dim, range(config.layers)
        self.norms = [[Norm(dim, f"norm_{i}_{part}") for part in ("attention", "dense")] for i in layers]
        self.queries = [Dense(generator, dim, 3 * dim, f"queries_{i}") for i in layers]
        self.mix = [Dense(generator, dim, dim, f"mix_{i}", scale=0.5) for i in layers]
        self.widen = [Dense(generator, dim, 2 * dim, f"widen_{i}") for i in layers]
        self.narrow = [Dense(generator, 2 * dim, dim, f"narrow_{i}", scale=0.5) for i in layers]
        slopes = -0.1 * np.arange(AGE_BUCKETS)[:, None] * np.linspace(1.0, 0.0, config.heads)[None, :]
        self.by_age = [tf.Variable(slopes.astype(np.float32), name=f"by_age_{i}") for i in layers]
        self.norm = Norm(dim, "attention_norm")
        self._heads, self._dropout = config.heads, config.dropout

    def __call__(self, x: tf.Tensor, known: tf.Tensor, sessions: tf.Tensor | None, training: bool) -> tf.Tensor:
        """As :meth:`Recurrence.__call__`."""
        age = ages(tf.shape(x)[1])
        allowed = (age >= 0)[None] & known[:, None, :]
        if sessions is not None:
            allowed &= sessions[:, :, None] == sessions[:, None, :]
        allowed |= (age == 0)[None]
        mask = tf.where(allowed, 0.0, -1e9)[:, None]
        buckets = age_buckets(age)
        x = dropped(x, self._dropout, training)
        for layer in range(len(self.queries)):
            bias = mask + tf.transpose(tf.gather(self.by_age[layer], buckets), [2, 0, 1])[None]
            x += dropped(self._attend(layer, self.norms[layer][0](x), bias), self._dropout, training)
            wide = tf.nn.gelu(self.widen[layer](self.norms[layer][1](x)))
            x += dropped(self.narrow[layer](wide), self._dropout, training)
        return self.norm(x)

    def _attend(self, layer: int, x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        split = tf.reshape(self.queries[layer](x), [shape[0], shape[1], 3, self._heads, -1])
        query, key, value = (tf.transpose(part, [0, 2, 1, 3]) for part in tf.unstack(split, axis=2))
        scale = (x.shape[-1] // self._heads) ** -0.5
        share = tf.nn.softmax(tf.matmul(query * scale, key, transpose_b=True) + bias)
        return self.mix[layer](tf.reshape(tf.transpose(tf.matmul(share, value), [0, 2, 1, 3]), shape))
