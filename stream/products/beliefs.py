"""What is believed of clicks before the first label: what makes buyers holds in every shop.

Made by one pass of an `Ensemble` without beliefs over two simulated shops (`stream simulate
--days 6 --rate 0.15 --products 400 --customers 3000 --no-catalog`, seeds 1 and 2), with
penalty 30; no real shop's log was used. A third of the learners believes all of it, a third
half, a third nothing; within some hundred labels the shop's own have more weight.
"""

from stream.models.scaler import Guess

CONVERSION_GUESSES = {
    "pair_views": Guess(0.46, 0.62, 0.2),
    "pair_carts": Guess(0.01, 0.1, 0.21),
    "pair_age": Guess(1.16, 1.6, -0.17),
    "session_events": Guess(1.6, 0.74, -0.23),
    "session_carts": Guess(0.13, 0.33, 0.45),
    "customer_orders": Guess(0.59, 0.78, 0.15),
    "customer_recency": Guess(0.69, 0.48, 0.09),
    "customer_rate": Guess(-3.73, 0.67, 0.06),
    "category_share": Guess(0.52, 0.33, 0.11),
    "cart": Guess(0.04, 0.19, 0.48),
    "product_views": Guess(4.02, 1.25, -0.09),
    "product_carts": Guess(1.17, 0.92, 0.27),
    "product_orders": Guess(1.78, 1.17, -0.32),
    "product_cart_rate": Guess(-3.54, 0.65, 0.05),
    "product_order_rate": Guess(-3.58, 0.66, 0.29),
    "price_in_category": Guess(0.0, 0.48, -0.13),
    "new_pair": Guess(0.57, 0.5, -0.14),
    "no_order": Guess(0.54, 0.5, 0.18),
}
"""Mean and deviation of the values, and their effect on the log-odds; others start at nothing."""
