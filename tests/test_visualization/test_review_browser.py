"""The review page in a real browser: slide, sort, filter, reject, export, and apply what was exported."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmrefine.cli.main import main
from mmrefine.core.rle import decode_segmentation
from mmrefine.jobs import refine_dataset
from mmrefine.jobs.review import write_review
from tests.helpers.bright_refiner import BrightRefiner
from tests.helpers.scenes import SIZE_HW, Scenes, files_of

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
playwright = pytest.importorskip('playwright.sync_api', reason='Playwright for Python is not installed')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium; on Debian: apt-get install chromium')
EVIL = '<img src=x onerror="document.title=1">'
HANG_MS = 3_600_000  # all waits end with an event; this only ends a test that hangs


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'], timeout=HANG_MS)


@pytest.fixture
def out(tmp_path):
    """A finished job with its page: eight masks of four images, of which the gate keeps two."""
    scenes = Scenes(tmp_path, 4)
    content = scenes.read_json('coco.json')
    content['categories'][1]['name'] = EVIL
    scenes.write_json('coco.json', content)
    model = BrightRefiner(gate=dict(min_score=0.67))
    report = refine_dataset(
        tmp_path / 'photos', tmp_path / 'coco.json', tmp_path / 'out', model=model, gt=tmp_path / 'truth.json',
        progress=False,
    )  # fmt: skip
    assert report.total['accepted'] == 6 and report.total['kept'] == 2
    write_review(tmp_path / 'out')
    return tmp_path / 'out'


@pytest.fixture
def page(browser, out):
    context = browser.new_context(viewport={'width': 1200, 'height': 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(HANG_MS)
    page.problems = []
    page.on('pageerror', lambda error: page.problems.append(str(error)))
    page.on('request', lambda request: request.url.startswith(('file:', 'blob:')) or page.problems.append(request.url))
    page.goto((out / 'review/index.html').as_uri())
    yield page
    assert page.problems == []
    context.close()


def shown(page):
    """Names of the cards in order."""
    return page.locator('#gallery article').evaluate_all('cards => cards.map(card => card.ariaLabel)')


def export(page, path):
    with page.expect_download() as download:
        page.click('#export')
    download.value.save_as(path)
    return path


def test_review_from_the_page_to_the_files(page, out, tmp_path):
    before, masks = files_of(out), json.loads((out / 'coco.json').read_text())
    assert page.inner_text('#counts') == '8 masks · 6 accepted · 2 kept'
    assert page.title() == 'Review of coco.json', 'a name ran as HTML'
    assert page.locator('#gallery img').count() == 0

    page.locator('#gallery article').first.scroll_into_view_if_needed()
    slider = page.locator('#gallery input[type=range]').first
    width = 'card => +card.querySelector("clipPath[id^=l-] rect").getAttribute("width")'
    card = page.locator('#gallery article').first
    start = card.evaluate(width)
    slider.focus()
    page.keyboard.press('ArrowRight')
    assert card.evaluate(width) > start
    box = card.locator('figure').bounding_box()
    page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    page.mouse.down()
    page.mouse.move(box['x'] + 2, box['y'] + box['height'] / 2)
    page.mouse.up()
    assert card.evaluate(width) < 0.1 * start

    page.select_option('#sort', 'score')
    highest_first = scores(page)
    assert len(highest_first) == 8 and highest_first == sorted(highest_first, reverse=True)
    page.check('#rising')
    assert scores(page) == sorted(highest_first)

    page.select_option('#verdict', 'kept')
    assert page.inner_text('#counts') == '2 of 8 masks · 0 accepted · 2 kept'
    page.select_option('#verdict', '')
    page.select_option('#category', '=' + EVIL)
    assert page.inner_text('#counts').startswith('4 of 8 masks')
    page.select_option('#category', '=left')
    page.select_option('#size', 'large')
    assert page.is_visible('#nothing')
    page.select_option('#size', '')
    page.select_option('#category', '')
    page.select_option('#sort', 'order')

    accepted = [name for name in shown(page) if verdict(page, name).startswith('✓ accepted')]
    target = page.locator(f'#gallery article[aria-label="{accepted[0]}"]')
    target.locator('.reject').click()
    assert verdict(page, accepted[0]) == '✕ kept by you'
    assert page.inner_text('#counts') == '8 masks · 5 accepted · 3 kept'
    page.keyboard.press('u')
    assert page.inner_text('#counts') == '8 masks · 6 accepted · 2 kept'
    page.keyboard.press('r')
    page.reload()
    assert page.inner_text('#counts') == '8 masks · 5 accepted · 3 kept', 'the decision is lost with a reload'
    page.keyboard.press('u')
    assert page.inner_text('#counts') == '8 masks · 6 accepted · 2 kept', 'a reload loses what there is to undo'
    target.locator('.reject').click()

    decisions = export(page, tmp_path / 'decisions.json')
    [(key, chosen)] = json.loads(decisions.read_text())['decisions'].items()
    assert list(chosen.values()) == [False]
    assert main(['decide', str(out), str(decisions)]) == 0
    after, new = files_of(out), json.loads((out / 'coco.json').read_text())
    changed = {name for name in after if after[name] != before.get(name)} | before.keys() - after.keys()
    assert changed == {'coco.json', 'summary.json', 'review/index.html'}
    different = [pair for pair in zip(masks['annotations'], new['annotations'], strict=True) if pair[0] != pair[1]]
    [(old_record, record)] = different
    assert record['image_id'] == int(key)
    coarse = json.loads((tmp_path / 'coco.json').read_text())['annotations']
    [source] = [item for item in coarse if item['id'] == record['id']]
    masks = [decode_segmentation(item['segmentation'], SIZE_HW) for item in (record, source)]
    assert np.array_equal(*masks)
    page.reload()
    assert page.inner_text('#counts') == '8 masks · 5 accepted · 3 kept'


def scores(page):
    """Of all cards in order, once they are filled; the inner text of a card out of view would be empty."""
    page.wait_for_function("[...document.querySelectorAll('#gallery article')].every(card => card.querySelector('dd'))")
    return [float(text) for text in page.locator('#gallery dl div:first-child dd').all_text_contents()]


def verdict(page, name):
    card = page.locator(f'#gallery article[aria-label="{name}"]')
    card.scroll_into_view_if_needed()
    return card.locator('.verdict').text_content()


def test_scores_are_read_out_of_view(page):
    page.set_viewport_size({'width': 390, 'height': 300})
    assert len(scores(page)) == 8


def test_keys_walk_and_decide(page):
    for key in 'jra':
        page.keyboard.press(key)
    assert page.inner_text('#decided') == '2'
    assert page.locator('article.current').get_attribute('aria-label') == shown(page)[2]
    page.keyboard.press('k')
    assert page.locator('article.current').get_attribute('aria-label') == shown(page)[1]
    page.keyboard.press('u')
    page.keyboard.press('u')
    assert page.inner_text('#decided') == '0' and page.is_disabled('#undo')


def test_errors_and_whole_images(page):
    page.locator('#gallery article').first.scroll_into_view_if_needed()
    error = page.locator('#gallery path.error').first
    assert not error.is_visible()
    page.check('#layers input[value=errors]')
    assert error.is_visible()
    page.click('#view-images')
    page.wait_for_selector('#images path.instance-line')
    assert page.locator('#images article').count() == 4 and page.is_hidden('#gallery')
    for key in 'jar':
        page.keyboard.press(key)
    assert page.inner_text('#decided') == '0', 'a mask that is not seen was decided'


def test_the_final_outline_follows_the_decision(page):
    card = page.locator('#gallery article').first
    card.scroll_into_view_if_needed()
    final, coarse = card.locator('path.final-line'), card.locator('path.coarse-line').get_attribute('d')
    assert not final.is_visible()
    page.check('#layers input[value=final]')
    assert final.is_visible()
    for button, is_coarse in (('.reject', True), ('.accept', False)):
        card.locator(button).click()
        assert (final.get_attribute('d') == coarse) == is_coarse


def test_decisions_end_with_the_proposals_they_were_about(page, out, tmp_path, capsys):
    page.locator('#gallery article').first.locator('.reject').click()
    decisions = export(page, tmp_path / 'decisions.json')
    image = np.array(Image.open(tmp_path / 'photos/scene_0.png'))
    Image.fromarray(np.roll(image, 1, axis=1)).save(tmp_path / 'photos/scene_0.png')
    refine_dataset(
        tmp_path / 'photos', tmp_path / 'coco.json', out, model=BrightRefiner(gate=dict(min_score=0.67)),
        gt=tmp_path / 'truth.json', progress=False,
    )  # fmt: skip
    before = files_of(out)
    assert main(['decide', str(out), str(decisions)]) == 2
    assert 'scene_0.png was refined again since it was reviewed; make the page again' in capsys.readouterr().err
    assert files_of(out) == before
    write_review(out)
    page.reload()
    assert page.inner_text('#decided') == '0'


def test_filters_of_a_phone_open_on_demand(page):
    page.set_viewport_size({'width': 390, 'height': 800})
    assert page.is_hidden('#sort')
    page.click('#filter')
    assert page.is_visible('#sort') and page.get_attribute('#filter', 'aria-expanded') == 'true'
    page.mouse.wheel(0, 1500)
    assert page.locator('#export').is_visible() and page.locator('#export').bounding_box()['y'] < 120


def test_everything_has_a_name(page):
    page.wait_for_selector('#gallery input[type=range]')
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select')].filter(
            item => !(item.ariaLabel || item.textContent.trim() || item.labels?.length)).length"""
    )
    assert nameless == 0


@pytest.mark.parametrize('width', [360, 800, 1600])
def test_nothing_is_wider_than_the_screen(page, width):
    page.set_viewport_size({'width': width, 'height': 800})
    assert page.evaluate('document.documentElement.scrollWidth') <= width


def test_two_thousand_masks_are_filled_when_they_are_seen(page, out):
    html = (out / 'review/index.html').read_text(encoding='utf-8')
    start = html.index('<script type="application/json" id="data">') + 42
    data, stop = json.JSONDecoder().raw_decode(html, start)[0], html.index('</script>', start)
    data['masks'] = [{**data['masks'][index % 8], 'index': index} for index in range(2000)]
    large = out / 'review/large.html'
    text = json.dumps(data).replace('<', '\\u003c')
    large.write_text(html[:start] + text + html[stop:], encoding='utf-8')
    page.goto(large.as_uri())
    page.wait_for_selector('#gallery svg')
    assert page.locator('#gallery article').count() == 2000
    assert page.locator('#gallery svg').count() < 100
    page.keyboard.press('j')
    page.keyboard.press('End')
    page.evaluate('window.scrollTo(0, document.body.scrollHeight)')
    page.wait_for_selector('#gallery article:last-child svg', state='attached')
