"""Writes the demo's two COCO files from numbers drawn by hand and from a measured disparity map.

`coarse_masks.json` holds quick polygons, as somebody in a hurry would draw them, and is what the demo refines.
`ground_truth.json` holds careful outlines of most of the same objects (same annotation ids) and is what the demo
measures against. The photographs themselves come with scikit-image. How each truth was made: `demo/README.md`.

    python demo/make_demo_masks.py [--out demo]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from pycocotools import mask as mask_utils
from scipy import ndimage

FROM_DISPARITY = 'disparity'
ORIGINS = {
    'coarse': 'quick polygon drawn by hand',
    'outline': 'outline drawn by hand on the enlarged photograph',
    'disparity': 'measured stereo disparity, gaps closed by rule and by hand',
}


@dataclass(frozen=True)
class Drawing:
    """One object of one photograph.

    Points are written `x,y`, in pixels, with the centre of the top left pixel at 0,0.

    Attributes:
        photo: File name in scikit-image's data folder.
        category: COCO category name.
        name: What the object is, in words.
        coarse: One quick polygon.
        truth: Careful polygons whose union is the object, or FROM_DISPARITY, or None where no honest truth can be had.
    """

    photo: str
    category: str
    name: str
    coarse: str
    truth: tuple[str, ...] | str | None = None


DRAWINGS = (
    Drawing(
        photo='chelsea.png',
        category='cat',
        name='the cat',
        coarse='42,0 385,0 360,75 372,135 340,185 315,235 290,280 215,299 0,299 0,118 28,100',
    ),
    Drawing(
        photo='chelsea.png',
        category='eye',
        name='left eye in the picture',
        coarse='136,100 160,82 192,90 207,118 190,143 165,139 145,130',
        truth=(
            """
            139.2,105 140.3,100 142.5,95.5 146,91.5 151,88.5 158,86.8 165,86.2 172,86.4 178,87.5 184,89.8 189,92.8
            193.5,96.8 197.3,101.5 200,106.5 201.5,112 202,117 201.3,122 199.5,127 196.5,132 192.5,136 188,139.5
            183,141.8 177.5,143 171.5,143 165.5,141.8 160,139.5 155,136 150.5,131.8 146.5,126.8 143.3,121 141,115
            139.5,110
            """,
        ),
    ),
    Drawing(
        photo='chelsea.png',
        category='eye',
        name='right eye in the picture',
        coarse='291,140 304,116 330,114 343,128 334,152 310,164 299,154',
        truth=(
            """
            295,146 295,142 295.4,137 296.6,132 298.7,127 302,122.5 306,119 310,116.7 314.5,114.3 319,112.3 324,110.8
            329,110 332,110.3 335,112.5 337.3,116 338.8,120.5 339.5,126 339.5,131 338.5,137 336.8,142 334,147
            330,151.5 325.5,155 320.5,157.7 315,159.4 309.5,160 304.5,159 300.5,157.3 297.3,155 295.7,151.5
            """,
        ),
    ),
    Drawing(
        photo='coffee.png',
        category='cup',
        name='cup with its handle',
        coarse='165,110 215,25 310,10 400,60 415,150 340,275 235,315 190,270 205,225',
        truth=(
            """
            173,110 172.7,101.8 173.7,93.7 175.7,85.7 179,78.1 182.5,70.7 186.8,63.6 191.6,56.9 197.5,51.1 203.5,45.5
            209.9,40.4 216.6,35.7 223.8,31.7 231.2,28.3 238.7,25.2 246.4,22.6 254.3,20.7 262.2,19.1 270.3,18.1
            278.4,17.7 286.4,17.3 294.5,17.7 302.6,18.6 310.5,19.6 318.5,21.3 326.2,23.4 334,25.7 341.5,28.8
            348.7,32.3 355.9,36.1 362.7,40.5 369.4,45.1 375.5,50.3 381.5,55.9 386.6,62.1 391.5,68.5 395.5,75.4
            399.3,82.3 402.4,89.6 404.6,97.4 406.5,105.2 408.2,113 409,121 408.3,130 407.3,136 406.5,140 405.5,145
            404.5,150 403.5,155 402.3,160 401,165 399.5,170 398,175 396.5,180 394.5,185 392.3,190 390,194 388,198
            385.5,202 383,205.5 381,209 378,213.5 375,217 371,221.5 366,226 362,231 358,236 355,241 353,245.5
            346,249.5 341,252 337,255.5 333,259.5 330.5,263 328,265 324,268.5 320,271.5 315,276 310,279.5 305,282
            300,283 290,284 280,284.2 270,283.5 265,282.5 257.5,280.5 256.5,277.5 255,280 252,284.5 249,288 245,292.5
            240,296.5 236,299.5 231,301.5 229,304 226,308.5 222,310 218,309 213,307.5 208,305 203,302 199.5,298
            197,293 196,287 196.3,281 197,275 198,269 200,264 203.5,258 208,251 213,244.5 216,240 218.5,235.5 213,233
            208,229.7 204,226.5 200,221.5 197,217.5 194,213.5 190,207 187,201.5 184,194.5 181,187 178.5,180 176.5,172
            175,165 173.3,155 172.5,145 172.2,135 172.4,122
            """,
        ),
    ),
    Drawing(
        photo='coffee.png',
        category='spoon',
        name='spoon',
        coarse='395,68 425,70 412,140 385,230 410,270 395,318 355,330 328,300 330,260 372,235',
        truth=(
            """
            390.5,193 388,198 385.5,202 383,205.5 381,209 378,213.5 375.5,217 374,222 373,227 371.5,232 370,236
            366,239 360,242.5 356,245 351,247 346,249.5 341,252 337,255.5 333,259.5 330.5,264 328.5,268 327,274
            326,280 325.7,285 326.3,291 328,297 330.5,304 334,310.5 338,315.5 343,320 349,323 355,325 361,325.4
            368,324.5 375,322.5 382,319 388,314.5 393,310 397,304.5 400.5,298.5 403.5,291.5 405.5,284 406.3,277
            406,270 404,264.5 401,259.5 397,255.5 393,251.5 388.5,247.5 385.5,242.5 382.8,237.5 382.5,233 382.5,228
            383.5,221 385,214 387,206 389,199 391.3,192
            """,
            """
            397.5,70 401,67.5 406,66.3 412,66.3 417,68 421,71 423.8,75 424.4,80 423,85.5 421,92 419,99 417,106 415,112
            413,118.5 411.3,124 409.8,129 408.6,133 407.8,136.5 408.5,130 409,122 408.5,114 407,105 404.5,94
            401.5,84.5 398.5,77 395.8,71.5
            """,
        ),
    ),
    Drawing(
        photo='astronaut.png',
        category='person',
        name='the astronaut',
        coarse='150,60 230,5 310,70 290,150 375,290 300,400 270,511 25,511 15,390 70,240 140,160',
        truth=(
            """
            153.2,72 153.3,67 154.5,61.5 158,56 163,51 168,47 174,43 180,40.5 185,38.5 189,36 190.5,31.5 193.5,28
            198,25 203,22.5 208,21 212,21 217,19 222,17.5 227,15.8 232,15.2 238,15.8 244,17 250,18.8 256,21 262,23.5
            268,26.5 274,30 279,33.5 284,37.5 288,42 291.5,47.5 294.5,53.5 296.5,59 297.5,65 299,71 300.3,77 301.2,83
            301.5,88 301,94 299.3,99.5 297.5,105 295,110 291.5,115 287,120 282.5,124.5 279,128.5 276,132 272.5,135
            269.5,136 267,135.8 266.3,139 265.3,145 263.5,150 260.5,155 258,160 257,165 256,170 255,173.5 259,175.5
            263,178 268,182 274,187 279.5,192 285,198 290,204 294.5,210.5 298.5,217 301.3,223 303.3,229 304,233
            308,236.5 313,239.5 318,242 322,245 325,248.5 329,252 333,254.5 336,257.5 339.5,262 342,266.5 345,271.5
            346.7,277 348,283 351,283.5 352.3,287 352.5,290 354.5,295.5 356.5,302 357.3,309 357.5,316 358.5,322
            360.5,327 363,331 360.5,332 360.5,338 360.7,344 363,346.5 365.3,349 360,351 354,353.3 347,355.2 340,357.5
            335,360 330,363 326,366 322,368.5 319,372.5 314,377 310,380 307,383.5 304.5,387 302,388 299,390 296,394
            294,398 293,403 292,406.5 290.5,411 288.5,416 286,422 284,428 282,435 280,442 278.5,449 277.3,456
            276.5,464 276,472 275.8,480 276,488 277,496 278.5,503 280.5,511 281,512 42,512 34.3,500 30,490 27,482
            24.8,473 24,463 23,453 23,445 24,438 23.5,430 22,420 20.5,412 19.3,405 19,398 19.5,392 21,386 23.5,380.5
            25,378 25,370 25.5,360 25.5,351 26,345 28,340 30.5,336 30.5,331.5 32,326 34,319 36,312 38.5,306 40,300
            40.5,294 43,286 46,279 50,272 54,264 58,257 63,249 68,243 73,239 76,235 82,231.5 88,228 94,223.5 98.5,219
            103,213 108,208 111.5,205.5 114.5,205 113.5,201 114,198 116.5,195.5 114,192.5 113,188.5 115,186
            118.5,185.3 120.5,182.5 123,177 126,171 129.5,166 134,161 140,156.5 147,153 155,150.3 163,148.7 171,147.8
            178,147.8 184,148.3 184.8,148.5 183.5,143 182.5,137 182,131 179.5,131 176.5,129.5 173.5,126 171.5,121.5
            170,118.5 167.5,116.5 164.5,112.5 161,109.5 158.5,105.5 156,100 154.8,94 154.3,88 154.5,82 153.8,77
            """,
        ),
    ),
    Drawing(
        photo='astronaut.png',
        category='helmet',
        name='helmet',
        coarse='295,400 330,360 400,340 460,360 495,420 505,511 285,511 275,460',
    ),
    Drawing(
        photo='camera.png',
        category='person',
        name='the cameraman',
        coarse="""
            0,250 60,160 150,100 190,65 240,65 275,110
            275,180 330,165 330,215 305,280 245,320 150,390 155,511 0,511
        """,
        truth=(
            """
            -1,260.5 0,259.5 5,252 10,246 14,239 17,234 18,229 20,225 23,223 26.5,221 28.5,217 31,212 33,207 37,200.5
            41,194.5 45,189.5 49,185 52,179.5 55,173 59,165 63,157.5 67,152 71,147 75,143.5 80,140 88,136 95,132.5
            102,129.5 110,126.5 117,124.5 123,123.8 130.5,124.2 133,121 136,117.5 140,114.5 146,110.5 149,107.5
            152,105.8 157,105.5 161,105.8 163,101 165,97.5 169,93.5 171.5,88.5 175,84 179,80 183,76.5 188,72.5
            194,69.5 200,67.5 206,67.5 212,68 218,69 225,71 231,73.5 237,77 242,80 246,84 250,87.5 254,92 258,97
            261.5,100.5 264.5,104 267.5,108 269.5,112.5 270.2,117 269.8,122 268.8,127 267,131 263,128.5 261,128
            258.5,130 257.5,133 257.3,136 257.2,139 253,143 251,147 250,149.5 250,151 250.5,154 252,158 253.5,163
            254,167 252.5,169.5 249.5,170.8 246,170.3 244.8,172 245.2,174.5 246,176.5 244.5,178.5 242,179.5 241.7,181
            241.8,184 241.5,189 241.5,193 241,196 240,198 238.5,200.5 238.5,203.5 242,204.8 242.5,210 243.5,214.5
            243,218 242,220.5 243,228 245,234.5 246.5,240.5 248,246.5 252,242 256,238 260,233.5 263,229.5 262,225.5
            261,221.5 261,218 262,214.5 264,211.5 267,208.3 272,207.7 277,207 279,207.5 278,210 281,211 284,212.5
            287,215 287.7,217 287.7,244 287.7,287 284,290 278,294.5 272,299 265,303 258,307 252,310.3 246,312.3
            241,311.5 235,309 229,306 222,302 216,299.5 210,295.5 206.3,293 204,297 200,302.5 195,310.5 190,317.5
            184,325 179,332 173,341 166,350 158,360.5 150,371 145,377 140.8,381.5 142,387 144,397 146,407 148,418
            149,428 149.3,440 149.7,460 150.5,480 151.2,500 151.5,512 -1,512
            """,
            """
            318,173 319,170.5 321,168.3 323.5,167.6 326,168.5 328,171 329.5,174.5 330.5,178 330,182 328.7,184.8
            330,187 331,189.5 331.5,193 330.5,197 328.5,199.5 325.5,200.5 325,203 324.5,206.5 323,210.5 321,214
            319.5,217 318,220.5 314.5,225.3 311,228.3 307.5,230.7 305.5,231.7 302,231 299,233 297,235 296.3,234
            296.3,216 293.5,209 291.5,205 291,202.5 293,200.8 296,201.2 297.5,199 296.5,196 297,190 299,189 303,186.5
            304,184.5 307,183 312,182.7 320,183 320.2,177.5 318.5,175
            """,
            """
            296.8,246 299,252 301,259 303,266 304.7,273 301.5,274.5 299.5,278 297,280.3
            """,
        ),
    ),
    Drawing(
        photo='coins.png',
        category='coin',
        name='worn dark coin, first row',
        coarse='252,48 262,34 282,31 299,45 294,68 275,75 256,65',
        truth=(
            """
            254.8,50 256.1,46.2 258.3,43.1 260.4,40.1 263.4,37.6 266.5,35.3 270.2,33.8 274.2,33.3 278.2,33.5 282,34.5
            285.7,35.9 289.4,37.9 292.4,40.8 294.3,44.5 295.6,48.4 296.2,52.5 295.7,56.6 294.5,60.5 292.7,64.4
            289.8,67.5 286.2,69.6 282.2,70.8 278.2,71.2 274.2,71.4 270.3,70.7 266.7,69.2 263.4,67.1 260.5,64.4
            258.1,61.3 255.7,58 254.5,54.1
            """,
        ),
    ),
    Drawing(
        photo='coins.png',
        category='coin',
        name='chipped coin, second row',
        coarse='249,110 268,98 290,96 294,120 285,146 262,146 243,130',
        truth=(
            """
            263.9,95.3 268,94.9 272.1,95.3 276.1,95.3 280,96 283.5,97.4 286.6,99.8 288.6,103.3 292.2,104.7 293.9,108.3
            294.9,112.2 295.6,116.2 295.3,120.2 294.7,124.1 293.8,128 292.3,131.7 289.8,134.8 286.7,137.3 283.5,139.8
            279.7,141.3 276.2,143 272.3,143.4 268.4,142.7 264.5,141.8 260.7,140.4 257.1,138.4 253.7,136.2 250,134.3
            247.9,130.7 246.3,126.9 244.7,123 245.1,118.9 245.7,114.8 246.4,110.8 247.5,106.8 250.5,103.9 253.5,101.3
            256.8,99.1 260.4,97.3
            """,
        ),
    ),
    Drawing(
        photo='coins.png',
        category='coin',
        name='bright coin, second row',
        coarse='82,114 100,104 122,114 120,132 108,148 88,142',
        truth=(
            """
            83.8,126 84.3,122 85.3,118.2 87.2,114.7 90,111.8 93.4,109.7 96.9,107.8 100.9,107.2 105,107.3 109,107.9
            112.8,109.6 116.2,111.8 118.6,115.2 120.3,118.9 121.2,122.8 121.2,126.8 120.7,130.8 119.2,134.4
            116.5,137.4 113.2,139.6 109.8,141.7 106.1,143.5 102.1,144.7 97.9,144.3 93.8,143.2 90.2,141 87.2,137.9
            85.2,134.1 84.2,130.1
            """,
        ),
    ),
    Drawing(
        photo='rocket.jpg',
        category='rocket',
        name='rocket',
        coarse='309,138 322,122 337,140 334,250 336,410 308,410 310,250',
        truth=(
            """
            322.5,126.3 326,128.5 329,132.5 331.2,137 332.7,141.5 333.5,147 333.7,155 333.7,165 333.6,172 333.2,174.5
            331.8,177 330.5,179.5 330.2,190 330.3,210 330.3,250 330.3,300 330.2,340 330.4,360 330.9,385 331.3,406
            312.2,406 312.3,390 312.6,375 313.1,350 313.4,320 313.5,300 313.6,250 313.7,200 313.4,180 312.7,177.5
            311,174.5 310.6,172 310.7,160 310.8,150 311.2,145 312.3,140 314,135.5 316.5,131.5 319,127.8
            """,
        ),
    ),
    Drawing(
        photo='motorcycle_left.png',
        category='motorcycle',
        name='motorcycle',
        coarse="""
            92,205 140,140 180,155 340,185 335,118 430,112 505,60
            585,125 560,195 685,360 650,455 520,375 220,405 125,320
        """,
        truth=FROM_DISPARITY,
    ),
)

# Where the structured light of the stereo set could not measure (chrome, black plastic, narrow gaps), seen by eye.
BIKE_BY_HAND = (
    # Back of the right mirror, the brake reservoir with its lever, the chrome bar end, the feet of the two stands.
    '518,14.5 515,17 511,22 507.5,27 505.3,31 504.5,35 511.5,35 512.5,31.5 514.5,27 516.5,22 518,17',
    '494,79 498,77 503,74.5 508,75 511,76.5 515,79.5 519,81.5 521.5,85 523,89 525,92 531,93 536,96 537,98.5 530,96.5 '
    '524,95 521,97 517,96 514,94 512,92 507,93 502,92',
    '492,82 494,79.5 497,79 497,91 492.5,91 493,88',
    '327.5,429 323,431 322.5,434 326,436.5 332,436.7 337,434.5 341,431.5 341,427 339,429.5 334,431',
    '342,404 345,408 350,408.5 352.5,405',
)
FLOOR_BY_HAND = (
    # Floor seen between the rear mudguard, the indicator and the rear tyre, hidden from the right camera.
    '120.5,243 125,240.5 130,237.8 136,234.3 142,231.3 147.5,229.5 147.8,234 149,239 151.5,243 154,245 151,248 '
    '148.5,251 120.5,251',
)


def photo_folder() -> Path:
    """Returns the folder of the photographs that scikit-image ships inside its wheel; nothing is downloaded."""
    return Path(skimage.__file__).parent / 'data'


def polygons_to_mask(polygons: tuple[str, ...], height: int, width: int) -> np.ndarray:
    """Draws the union of polygons.

    Args:
        polygons: Each `x,y x,y ...` with pixel centres at whole numbers.
        height: Rows of the mask, in pixels.
        width: Columns of the mask, in pixels.

    Returns:
        (height, width) bool.
    """
    # COCO counts from the corner of the first pixel, half a pixel before its centre.
    flat = [[float(v) + 0.5 for point in polygon.split() for v in point.split(',')] for polygon in polygons]
    return mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(flat, height, width))).astype(bool)


def fill_from_far_side(disparity: np.ndarray) -> np.ndarray:
    """Gives unmeasured pixels the smaller disparity of their measured neighbours in the row.

    A pixel that only the left camera sees lies beside a near object and belongs to what is behind it, so the farther
    (smaller) of the two neighbours is the right one.

    Args:
        disparity: (H, W) float, not finite where unmeasured.

    Returns:
        (H, W) float, finite in every row that has a measurement.
    """
    columns = np.arange(disparity.shape[1])
    valid = np.isfinite(disparity)
    padded = np.pad(disparity, ((0, 0), (1, 1)), constant_values=np.inf)
    left = np.maximum.accumulate(np.where(valid, columns, -1), axis=1) + 1
    right = np.minimum.accumulate(np.where(valid, columns, len(columns))[:, ::-1], axis=1)[:, ::-1] + 1
    return np.minimum(np.take_along_axis(padded, left, 1), np.take_along_axis(padded, right, 1))


def fit_floor(disparity: np.ndarray) -> np.ndarray:
    """Fits the garage floor's disparity.

    A flat floor has a disparity linear in x and y; this one sags by about one pixel of disparity, so a quadratic is
    fitted, first to the pixels near a rough plane, then three times to the pixels near the last fit.

    Args:
        disparity: (H, W) float, not finite where unmeasured.

    Returns:
        (H, W) float, the floor's disparity at every pixel.
    """
    y, x = np.mgrid[: disparity.shape[0], : disparity.shape[1]].astype(np.float64)
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1) / [1, 1e2, 1e2, 1e4, 1e4, 1e4]
    floor = 0.1785 * y - 0.0033 * x - 30.8
    below_wall = np.isfinite(disparity) & (y > 285)
    for tolerance in (1.2, 0.8, 0.4, 0.4):
        near = below_wall & (np.abs(disparity - floor) < tolerance)
        floor = basis @ np.linalg.lstsq(basis[near], disparity[near], rcond=None)[0]
    return floor


def motorcycle_mask(disparity: np.ndarray) -> np.ndarray:
    """Cuts the motorcycle out of the measured disparity of the stereo pair's left image.

    Everything behind the motorcycle has a disparity below 28 or lies on the floor, and the motorcycle begins at 41 (the
    few hundred pixels between are edges); so it is what is nearer than 35 and stands more than 0.6 above the floor,
    five times the scatter of the floor around its fit.

    Args:
        disparity: (500, 741) float in pixels, not finite where unmeasured.

    Returns:
        (500, 741) bool.
    """
    filled = fill_from_far_side(disparity)
    standing = (filled > 35) & (filled - fit_floor(disparity) > 0.6)
    regions, _ = ndimage.label(standing, np.ones((3, 3)))
    mask = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
    holes, count = ndimage.label(~mask)
    measured = ndimage.maximum(np.isfinite(disparity), holes, np.arange(count + 1))
    mask |= ~measured.astype(bool)[holes]  # a hole without one measured pixel is a shiny part, not a gap
    mask &= ~polygons_to_mask(FLOOR_BY_HAND, *mask.shape)
    return mask | polygons_to_mask(BIKE_BY_HAND, *mask.shape)


def truth_mask(drawing: Drawing, height: int, width: int) -> np.ndarray:
    """Draws the (height, width) bool truth of a drawing that has one."""
    if drawing.truth == FROM_DISPARITY:
        with np.load(photo_folder() / 'motorcycle_disp.npz') as stored:
            return motorcycle_mask(stored['arr_0'].astype(np.float64))
    return polygons_to_mask(drawing.truth, height, width)


def make_annotation(mask: np.ndarray, ids: dict[str, int], name: str, origin: str) -> dict:
    """Writes one (H, W) bool mask as a COCO annotation with compressed RLE."""
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        **ids,
        'segmentation': {'size': [int(n) for n in rle['size']], 'counts': rle['counts'].decode('ascii')},
        'bbox': mask_utils.toBbox(rle).tolist(),
        'area': int(mask_utils.area(rle)),
        'iscrowd': 0,
        'name': name,
        'origin': origin,
    }


def make_datasets() -> tuple[dict, dict]:
    """Builds the two COCO datasets.

    Returns:
        The coarse masks and the ground truth; an annotation of the second has the id of its coarse mask in the first.
    """
    photos = list(dict.fromkeys(d.photo for d in DRAWINGS))
    categories = list(dict.fromkeys(d.category for d in DRAWINGS))
    images = []
    for number, photo in enumerate(photos, 1):
        with Image.open(photo_folder() / photo) as opened:
            images.append({'id': number, 'file_name': photo, 'width': opened.width, 'height': opened.height})
    coarse, truth = [], []
    for number, drawing in enumerate(DRAWINGS, 1):
        image = images[photos.index(drawing.photo)]
        ids = {'id': number, 'image_id': image['id'], 'category_id': 1 + categories.index(drawing.category)}
        size = image['height'], image['width']
        quick = polygons_to_mask((drawing.coarse,), *size)
        coarse.append(make_annotation(quick, ids, drawing.name, ORIGINS['coarse']))
        if drawing.truth is not None:
            origin = ORIGINS['disparity' if drawing.truth == FROM_DISPARITY else 'outline']
            truth.append(make_annotation(truth_mask(drawing, *size), ids, drawing.name, origin))
    shared = {'images': images, 'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, 1)]}
    return (
        {'info': {'description': 'mmrefine demo: coarse masks'}, **shared, 'annotations': coarse},
        {'info': {'description': 'mmrefine demo: ground truth'}, **shared, 'annotations': truth},
    )


def write_json(path: Path, content: dict) -> None:
    """Writes JSON whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix='.tmp')
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as stream:
            json.dump(content, stream, indent=1)
            stream.write('\n')
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main() -> None:
    """Rebuilds both files."""
    parser = argparse.ArgumentParser(description='Rebuild the demo masks from their drawn outlines.')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent, help='folder to write to')
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, content in zip(('coarse_masks.json', 'ground_truth.json'), make_datasets(), strict=True):
        write_json(out / name, content)
        print(f'{out / name}: {len(content["annotations"])} masks on {len(content["images"])} photographs')


if __name__ == '__main__':
    main()
