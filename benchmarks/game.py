"""A small brick-breaking game, drawn as an Atari emulator draws and shrunk as agents shrink it.

It is drawn at 210 x 160 in grey, with walls, a score, lives, six rows of bricks, birds that fly across, a
paddle and a ball, and reduced to 84 x 84 by area, so that edges are soft as in the usual preprocessing.
"""

from typing import Any

import numpy as np

HEIGHT, WIDTH, SMALL = 210, 160, 84
_ROWS, _COLUMNS = 6, 18
_BRICKS = np.array([142, 132, 122, 128, 110, 85], np.uint8)
_TOP, _BRICK_HEIGHT, _BRICK_WIDTH = 57, 6, 8
_BIRDS, _BIRD = 2, 8  # how many, and pixels a side
_DRAWN = 64  # frames that are shrunk together
_DIGIT = (
    np.array(  # seven segments a digit: top, upper left, upper right, middle, lower left, lower right, bottom
        [
            0b1110111,
            0b0010010,
            0b1011101,
            0b1011011,
            0b0111010,
            0b1101011,
            0b1101111,
            0b1010010,
            0b1111111,
            0b1111011,
        ]
    )
)

NpArray = np.ndarray[Any, Any]


def play(steps: int, generator: np.random.Generator) -> tuple[NpArray, NpArray, NpArray]:
    """Plays `steps` frames with a paddle that follows the ball, not always.

    Returns:
      Pictures uint8 `[steps, 84, 84]`, moves int32 `[steps]`, points float64 `[steps]`.
    """
    game = _Game(generator)
    pictures = np.empty((steps, SMALL, SMALL), np.uint8)
    moves, points = np.empty(steps, np.int32), np.empty(steps)
    for first in range(0, steps, _DRAWN):
        drawn: list[NpArray] = []
        for step in range(first, min(first + _DRAWN, steps)):
            moves[step], points[step] = game.advance()
            drawn.append(game.draw())
        pictures[first : first + _DRAWN] = _shrink(np.stack(drawn))
    return pictures, moves, points


class _Game:
    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._walls = np.zeros((HEIGHT, WIDTH), np.uint8)
        self._walls[17:32, :] = self._walls[17:196, :8] = self._walls[17:196, -8:] = 142
        self._score, self._lives = 0, 5
        self._paddle = 70.0
        self._bricks = np.ones((_ROWS, _COLUMNS), np.bool_)
        shape = (_BIRDS, _BIRD, _BIRD)
        self._plumage = generator.integers(60, 220, shape, np.uint8) * generator.integers(
            0, 2, shape, np.uint8
        )
        self._birds = generator.uniform(8, WIDTH - 16, _BIRDS)
        self._serve()

    def _serve(self) -> None:
        self._ball = np.array([100.0, self._generator.uniform(30, 130)])
        self._speed = np.array([3.0, self._generator.choice([-2.0, 2.0])])

    def advance(self) -> tuple[int, float]:
        """Plays one frame; gives the move and the points."""
        ahead = self._ball[1] - self._paddle - 8 + self._generator.normal(0, 6)
        move = 0 if self._generator.random() < 0.3 else int(np.sign(ahead)) * (abs(ahead) > 3)
        self._paddle = float(np.clip(self._paddle + 4 * move, 8, WIDTH - 24))
        self._birds += np.arange(_BIRDS) % 3 - 1.0
        self._ball += self._speed
        row, column = self._ball
        if not 8 < column < WIDTH - 10:
            self._speed[1] *= -1
        if row < 32:
            self._speed[0] = abs(self._speed[0])
        if row >= 186 and self._speed[0] > 0:
            self._meet_paddle(float(column))
        np.clip(self._ball, [32, 9], [189, WIDTH - 11], out=self._ball)
        return move, self._hit()

    def _meet_paddle(self, column: float) -> None:
        if -3 <= column - self._paddle <= 17:
            self._speed = np.array([-3.0, (column - self._paddle - 8) / 4])
            return
        self._lives -= 1
        if self._lives == 0:
            self._lives, self._score = 5, 0
            self._bricks[:] = True
        self._serve()

    def _hit(self) -> float:
        row = int(self._ball[0] - _TOP) // _BRICK_HEIGHT
        column = int(self._ball[1] - 8) // _BRICK_WIDTH
        if not (0 <= row < _ROWS and 0 <= column < _COLUMNS and self._bricks[row, column]):
            return 0.0
        self._bricks[row, column] = False
        self._speed[0] *= -1
        self._score += _ROWS - row
        if not self._bricks.any():
            self._bricks[:] = True
        return float(_ROWS - row)

    def draw(self) -> NpArray:
        """Draws the frame, uint8 `[210, 160]`."""
        picture = self._walls.copy()
        wall = np.where(self._bricks, _BRICKS[:, None], 0).astype(np.uint8)
        bottom = _TOP + _ROWS * _BRICK_HEIGHT
        picture[_TOP:bottom, 8:-8] = wall.repeat(_BRICK_HEIGHT, 0).repeat(_BRICK_WIDTH, 1)
        for place, digit in enumerate(f"{self._score % 1000:03d}{self._lives}"):
            _draw_digit(picture, int(digit), 36 + 16 * place + 12 * (place == 3))
        for bird, plumage in enumerate(self._plumage):
            left = 8 + int(self._birds[bird]) % (WIDTH - 16 - _BIRD)
            picture[112 + 16 * bird : 112 + 16 * bird + _BIRD, left : left + _BIRD] = plumage
        row, column = (int(value) for value in self._ball)
        picture[row : row + 4, column : column + 2] = 142
        picture[189:193, int(self._paddle) : int(self._paddle) + 16] = 142
        return picture


def _draw_digit(picture: NpArray, digit: int, left: int) -> None:
    lit = [bool(_DIGIT[digit] >> place & 1) for place in range(6, -1, -1)]
    boxes = [
        (5, 7, 0, 12),
        (5, 10, 0, 3),
        (5, 10, 9, 12),
        (9, 11, 0, 12),
        (10, 15, 0, 3),
        (10, 15, 9, 12),
        (13, 15, 0, 12),
    ]
    for on, (top, bottom, start, stop) in zip(lit, boxes, strict=True):
        if on:
            picture[top:bottom, left + start : left + stop] = 142


def _shrink(drawn: NpArray) -> NpArray:
    """Shrinks frames `[n, 210, 160]` to uint8 `[n, 84, 84]`."""
    wide = np.tensordot(drawn.astype(np.float32), _area(WIDTH), axes=(2, 1))
    small = np.tensordot(wide, _area(HEIGHT), axes=(1, 1))
    return np.rint(small.transpose(0, 2, 1)).astype(np.uint8)


def _area(length: int) -> NpArray:
    """Gives the matrix that averages `length` pixels down to 84, float32 `[84, length]`."""
    edges = np.arange(SMALL + 1) * length / SMALL
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(overlap, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
