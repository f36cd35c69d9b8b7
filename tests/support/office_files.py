"""Writes small documents by hand: ZIP files of XML, mails, and what attackers make of them."""

import io
import zipfile
from collections.abc import Mapping

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"
_KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """An archive of ``members``, packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def relations(**targets: str) -> str:
    """A part that refers to others: ``kind_1="where"`` has the id ``kind_1``."""
    listed = "".join(
        f'<Relationship Id="{id_}" Type="{_KINDS}/{id_.partition("_")[0]}" Target="{target}"/>'
        for id_, target in targets.items()
    )
    return f'<Relationships xmlns="{_RELATIONSHIPS}">{listed}</Relationships>'


def docx(body: str, *, title: str = "", styles: str = "", **parts: str) -> bytes:
    """A Word document with this ``w:body``; ``footnotes`` and ``endnotes`` may be among the ``parts``."""
    members = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(officeDocument="word/document.xml"),
        "word/document.xml": f"<w:document {W} {MC}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": relations(
            styles="styles.xml", **{name: f"{name}.xml" for name in parts}
        ),
        "word/styles.xml": f"<w:styles {W}>{styles}</w:styles>",
    }
    if title:
        members["docProps/core.xml"] = f'<c xmlns:dc="urn:dc"><dc:title>{title}</dc:title></c>'
    return zipped(members | {f"word/{name}.xml": content for name, content in parts.items()})


def paragraph(text: str, properties: str = "") -> str:
    """A paragraph of a Word document."""
    inner = f"<w:pPr>{properties}</w:pPr>" if properties else ""
    return f"<w:p>{inner}<w:r><w:t>{text}</w:t></w:r></w:p>"


def style(id_: str, name: str, based_on: str = "") -> str:
    """A paragraph's style in a Word document."""
    parent = f'<w:basedOn w:val="{based_on}"/>' if based_on else ""
    return f'<w:style w:styleId="{id_}"><w:name w:val="{name}"/>{parent}</w:style>'


def pptx(*slides: str, notes: str = "") -> bytes:
    """A presentation of ``slides``, stored in the opposite order; ``notes`` are those of the first one."""
    count = len(slides)
    files = {number: f"slides/slide{count - number}.xml" for number in range(count)}
    ids = "".join(f'<p:sldId id="{256 + number}" r:id="slide_{number}"/>' for number in files)
    members = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(officeDocument="ppt/presentation.xml"),
        "ppt/presentation.xml": f"<p:presentation {P} {R}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations(**{f"slide_{n}": file for n, file in files.items()}),
    }
    for number, slide in enumerate(slides):
        members[f"ppt/{files[number]}"] = f"<p:sld {P} {A}>{slide}</p:sld>"
    if notes:
        members[f"ppt/slides/_rels/slide{count}.xml.rels"] = relations(notesSlide="../notes/1.xml")
        members["ppt/notes/1.xml"] = f"<p:notes {P} {A}>{notes}</p:notes>"
    return zipped(members)


def shape(placeholder: str, *paragraphs: str) -> str:
    """A shape of a slide; without a ``placeholder`` a text box."""
    marked = f'<p:nvPr><p:ph type="{placeholder}"/></p:nvPr>' if placeholder else ""
    text = "".join(f"<a:p><a:r><a:t>{one}</a:t></a:r></a:p>" for one in paragraphs)
    return f"<p:sp>{marked}<p:txBody>{text}</p:txBody></p:sp>"


def xlsx(**sheets: list[list[str]]) -> bytes:
    """A workbook whose cells are all strings."""
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="worksheet_{n}"/>' for n, name in enumerate(sheets, 1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    targets = {f"worksheet_{n}": f"worksheets/sheet{n}.xml" for n in range(1, len(sheets) + 1)}
    members = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": relations(officeDocument="xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" {R}><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(**targets),
    }
    for target, rows in zip(targets.values(), sheets.values(), strict=True):
        cells = "".join(
            f'<row r="{n}">{"".join(_cell(chr(65 + at), n, text) for at, text in enumerate(row))}</row>'
            for n, row in enumerate(rows, 1)
        )
        members[f"xl/{target}"] = f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
    return zipped(members)


def _cell(column: str, row: int, text: str) -> str:
    return f'<c r="{column}{row}" t="inlineStr"><is><t>{text}</t></is></c>' if text else ""


def open_document(body: str, *, kind: str = "text", title: str = "", manifest: str = "") -> bytes:
    """A document in the Open Document Format with this ``office:text`` or ``office:presentation``."""
    prefixes = ("office", "text", "table", "draw", "presentation")
    names = " ".join(f'xmlns:{prefix}="{_ODF}:{prefix}:1.0"' for prefix in prefixes)
    content = (
        f"<office:document-content {names}><office:{kind}>{body}</office:{kind}></office:document-content>"
    )
    members = {"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content}
    if title:
        members["meta.xml"] = f'<m xmlns:dc="urn:dc"><dc:title>{title}</dc:title></m>'
    if manifest:
        members["META-INF/manifest.xml"] = manifest
    return zipped(members)


def epub(chapters: Mapping[str, str], *, title: str = "A book", encryption: str = "") -> bytes:
    """A book of ``chapters``: a file's name and its XHTML, in reading order."""
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        f'<package xmlns:dc="urn:dc"><metadata><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<c><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></c>',
        "OEBPS/book.opf": package,
    }
    if encryption:
        members["META-INF/encryption.xml"] = encryption
    return zipped(members | {f"OEBPS/{name}": page for name, page in chapters.items()})
