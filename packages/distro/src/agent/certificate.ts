// The certificate that a device makes for itself. Nobody vouches for it: clients know it by its fingerprint.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'

/** A private key and its certificate, both as PEM. */
export interface CertifiedKey {
  readonly privateKey: string
  readonly certificate: string
}

/** @see https://www.rfc-editor.org/rfc/rfc5758#section-3.2 */
const ecdsaWithSha256 = '1.2.840.10045.4.3.2'

/** @see https://www.rfc-editor.org/rfc/rfc4519#section-2.3 */
const commonName = '2.5.4.3'

/**
 * It is valid for ever: a device's clock may be wrong at its first boot, and there is nobody to renew it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.5 the date that stands for no expiry
 */
const validity = { notBefore: new Date(0), notAfter: new Date(Date.UTC(9999, 11, 31, 23, 59, 59)) }

/** Makes a key and a certificate for a host name: P-256, which every TLS library takes. */
export function makeCertificate(hostname: string): CertifiedKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signatureAlgorithm = new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 })
  const name = nameOf(hostname)
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: signatureAlgorithm,
    ...{ issuer: name, subject: name },
    validity: new Validity(validity),
    subjectPublicKeyInfo: AsnConvert.parse(
      publicKey.export({ type: 'spki', format: 'der' }),
      SubjectPublicKeyInfo,
    ),
    extensions: extensions(hostname),
  })
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm,
    signatureValue: arrayBuffer(
      sign('sha256', new Uint8Array(AsnConvert.serialize(tbsCertificate)), privateKey),
    ),
  })
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: pem('CERTIFICATE', AsnConvert.serialize(certificate)),
  }
}

function nameOf(text: string): Name {
  const value = new AttributeValue({ utf8String: text })
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonName, value })])])
}

/** Positive, and of another device's certificates by chance never the same. */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return arrayBuffer(bytes)
}

function extensions(hostname: string): Extensions {
  const names = [...new Set([hostname, `${hostname}.local`, 'localhost'])]
  const values: readonly [string, boolean, unknown][] = [
    [id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)],
    [id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])],
    [
      id_ce_subjectAltName,
      false,
      new SubjectAlternativeName([
        ...names.map((dNSName) => new GeneralName({ dNSName })),
        new GeneralName({ iPAddress: '127.0.0.1' }),
      ]),
    ],
  ]
  return new Extensions(
    values.map(([extnID, critical, value]) => {
      return new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
    }),
  )
}

function arrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer
}

/** @see https://www.rfc-editor.org/rfc/rfc7468#section-3 */
function pem(label: string, bytes: ArrayBuffer): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
