// A bill of materials as SPDX 2.3 in JSON: every file of an image with its digests, and the packages that it comes
// from. Nothing in it depends on chance or on when it was made, unless SOURCE_DATE_EPOCH says so.
import { createHash } from 'node:crypto'
import { namedGuid } from '@pkg/image/guid'
import type { FileTree, TreeNode } from '@pkg/image/tree'
import type { Component } from './component.ts'
import { type Digests, digestsOf } from './digests.ts'
import type { Origins } from './origins.ts'

/** One file system of an image, or another set of files. */
export interface ImagePart {
  /** Its name, such as `root`. */
  readonly name: string
  readonly tree: FileTree
  readonly origins: Origins
}

/** What a bill is about. */
export interface Subject {
  /** The appliance. */
  readonly name: string
  readonly version: string | undefined
  readonly parts: readonly ImagePart[]
  /** Folder in which digests of large files are kept. */
  readonly cache: string
  /** Seconds since 1970. */
  readonly createdSeconds: number
  /** Name and version of what made it. */
  readonly tool: string
}

/** A package or a file, with the fields of clause 7 or 8. */
type Element = Readonly<Record<string, unknown>>

interface Relationship {
  readonly spdxElementId: string
  readonly relationshipType: string
  readonly relatedSpdxElement: string
}

/** Fields of a document that are built up file by file. */
class Bill {
  readonly packages: Element[] = []
  readonly files: Element[] = []
  readonly relationships: Relationship[] = []
  readonly #components = new Map<string, string>()

  relate(from: string, relationshipType: string, to: string): void {
    this.relationships.push({ spdxElementId: from, relationshipType, relatedSpdxElement: to })
  }

  /** The element of a component, which is made when it is first asked for. */
  component(component: Component): string {
    const { kind, name, version = '', architecture = '' } = component
    const key = [kind, name, version, architecture].join('\n')
    const known = this.#components.get(key)
    if (known !== undefined) return known
    const id = elementId(`${kind}-${name}`, key)
    this.#components.set(key, id)
    this.packages.push(packageElement(id, component))
    return id
  }

  /** A part of the image with all its files. */
  async add(subject: Subject, { name, tree, origins }: ImagePart): Promise<string> {
    const id = elementId(`part-${name}`)
    const digests: Digests[] = []
    for (const node of tree) {
      // A hard link is one more file to whoever looks at the image.
      const file = node.type === 'hardlink' ? tree.get(node.linkTo) : node
      if (file?.type !== 'file') continue
      const found = await digestsOf(file.content, node.path, subject.cache)
      digests.push(found)
      this.#addFile(id, node, found, origins.of(node.path))
    }
    this.packages.push({
      ...{ SPDXID: id, name: `${subject.name} ${name}`, ...versionInfo(subject.version), ...nobodySays },
      filesAnalyzed: true,
      packageVerificationCode: { packageVerificationCodeValue: verificationCode(digests) },
    })
    return id
  }

  #addFile(part: string, { path }: TreeNode, digests: Digests, from: readonly Component[]): void {
    const id = elementId(`file${path}`, `${part}${path}`)
    this.files.push({
      SPDXID: id,
      fileName: `.${path}`,
      checksums: [
        { algorithm: 'SHA1', checksumValue: digests.sha1 },
        { algorithm: 'SHA256', checksumValue: digests.sha256 },
      ],
      licenseConcluded: 'NOASSERTION',
      copyrightText: 'NOASSERTION',
    })
    this.relate(part, 'CONTAINS', id)
    for (const component of from) {
      const type = component.kind === 'debian' ? 'EXPANDED_FROM_ARCHIVE' : 'GENERATED_FROM'
      this.relate(id, type, this.component(component))
    }
  }
}

/**
 * The document.
 *
 * @see https://spdx.github.io/spdx-spec/v2.3/
 */
export async function spdxDocument(subject: Subject): Promise<string> {
  const bill = new Bill()
  const image = elementId('image')
  bill.packages.push({
    ...{ SPDXID: image, name: subject.name, ...versionInfo(subject.version), ...nobodySays },
    filesAnalyzed: false,
    primaryPackagePurpose: 'OPERATING-SYSTEM',
  })
  bill.relate(documentId, 'DESCRIBES', image)
  for (const part of subject.parts) bill.relate(image, 'CONTAINS', await bill.add(subject, part))
  const { packages, files, relationships } = bill
  const contents = JSON.stringify([packages, files, relationships])
  const document = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: documentId,
    name: subject.name,
    // Of its own for each content: equal builds have equal ones.
    documentNamespace: `urn:uuid:${namedGuid(`solo/sbom/${sha256(contents)}`)}`,
    creationInfo: {
      created: new Date(subject.createdSeconds * 1000).toISOString().replace('.000Z', 'Z'),
      creators: [`Tool: ${subject.tool}`],
    },
    packages,
    files,
    relationships,
  }
  return `${JSON.stringify(document, undefined, 1)}\n`
}

const documentId = 'SPDXRef-DOCUMENT'

/** Fields that are there for what nobody has looked into. */
const nobodySays = {
  downloadLocation: 'NOASSERTION',
  licenseConcluded: 'NOASSERTION',
  licenseDeclared: 'NOASSERTION',
  copyrightText: 'NOASSERTION',
}

function versionInfo(version: string | undefined): { versionInfo?: string } {
  return version === undefined ? {} : { versionInfo: version }
}

function packageElement(id: string, component: Component): Element {
  const { kind, name, version, sha256: digest, purl } = component
  const reference = { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }
  return {
    ...{ SPDXID: id, name: kind === 'source' ? `${name} sources` : name },
    ...versionInfo(version),
    ...nobodySays,
    filesAnalyzed: false,
    ...(digest === undefined ? {} : { checksums: [{ algorithm: 'SHA256', checksumValue: digest }] }),
    ...(purl === undefined ? {} : { externalRefs: [reference] }),
  }
}

/**
 * Letters, digits, `.` and `-` only (6.3): what else a name has is told by a digest.
 *
 * @param unique - what no other element has, where the words are not that
 */
function elementId(words: string, unique: string = words): string {
  return `SPDXRef-${words.replaceAll(/[^A-Za-z0-9.-]+/g, '-')}-${sha256(unique).slice(0, 12)}`
}

/** Clause 7.9: SHA-1 of the files' SHA-1, sorted. */
function verificationCode(digests: readonly Digests[]): string {
  const all = digests.map(({ sha1 }) => sha1).toSorted()
  return createHash('sha1').update(all.join('')).digest('hex')
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
