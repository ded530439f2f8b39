# SPDX-License-Identifier: MIT
"""printed - pictures of text, drawn with a packaged font."""

import io

from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"  # fonts-dejavu-core
TEXT_PIXELS = 24
LINE_PIXELS = 40
MARGIN_PIXELS = 40


def page(lines, width=700, ink=0, ground=255):
    """A grey picture of these lines, and where the ink of each is: left, top, right and bottom, in pixels."""
    image = Image.new("L", (width, 2 * MARGIN_PIXELS + LINE_PIXELS * max(len(lines), 1)), ground)
    return image, draw(image, lines, MARGIN_PIXELS, MARGIN_PIXELS, ink)


def draw(image, lines, left, top, ink=0):
    """Draws them below one another, and says where their ink is."""
    font = ImageFont.truetype(FONT, TEXT_PIXELS)
    boxes = []
    for number, line in enumerate(lines):
        layer = Image.new("L", image.size, 0)
        ImageDraw.Draw(layer).text((left, top + LINE_PIXELS * number), line, font=font, fill=255)
        image.paste(ink, mask=layer)
        boxes.append(layer.point(lambda value: 255 * (value > 127)).getbbox())
    return boxes


def encoded(image, kind="PNG", **options):
    """The bytes of a file of it."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()
