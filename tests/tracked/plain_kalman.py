"""A Kalman filter with constant velocity over (x, y, w, h), by its equations."""

import numpy as np

MEASURED = np.eye(4, 8)


class PlainKalman:
    """As DeepSORT has it, with deviations that are shares of the box's width and height."""

    def __init__(self, box):
        self.state = np.concatenate([box, np.zeros(4)])
        self.covariance = self.noise(2 / 20, 10 / 160)
        self.n_seen = 1

    def noise(self, place, velocity):
        width, height = np.maximum(self.state[2:4], 1)
        size = np.array([width, height, width, height])
        return np.diag(np.concatenate([place * size, velocity * size])) ** 2

    def predicted(self, step):
        moves = np.eye(8)
        for number in range(4):
            moves[number, number + 4] = step
        return moves @ self.state, moves @ self.covariance @ moves.T + self.noise(1 / 20, 1 / 160)

    def expected(self, step):
        return self.predicted(step)[0][:4]

    def see(self, box, step):
        state, covariance = self.predicted(step)
        spread = MEASURED @ covariance @ MEASURED.T + self.noise(1 / 20, 1 / 160)[:4, :4]
        gain = covariance @ MEASURED.T @ np.linalg.inv(spread)
        self.state = state + gain @ (box - MEASURED @ state)
        self.covariance = (np.eye(8) - gain @ MEASURED) @ covariance
        self.n_seen += 1
