"""The review page: masks before and after on one HTML page, to accept and to refuse."""

from mmrefine.visualization.review.page import ReviewImage, ReviewMask, ReviewPage

__all__ = ['ReviewImage', 'ReviewMask', 'ReviewPage']
