import { expect, test } from 'vitest'
import { readSettings } from '../../examples/video/settings.ts'

test('has a value for everything, and takes what the environment says instead', () => {
  expect(readSettings({})).toMatchObject({
    storageUrl: expect.stringMatching(/^file:.*\.omnibus\/storage\/$/),
    maxUploadBytes: 2e9,
    maxTempBytes: 8e9,
  })
  expect(readSettings({ STORAGE_URL: 's3://films?region=eu-1', MAX_UPLOAD_BYTES: '5', VIDEO_TEMP: '/scratch' })).toEqual({
    storageUrl: 's3://films?region=eu-1',
    maxUploadBytes: 5,
    tempFolder: '/scratch',
    maxTempBytes: 8e9,
  })
})

test.each([
  ['MAX_UPLOAD_BYTES', '2GB'],
  ['MAX_UPLOAD_BYTES', '0'],
  ['MAX_TEMP_BYTES', '-1'],
  ['STORAGE_URL', '/a/folder'],
  ['STORAGE_URL', 'ftp://host/folder'],
  ['STORAGE_URL', 'file://host/folder'],
  ['STORAGE_URL', 's3://'],
  ['STORAGE_URL', 's3://bucket/folder'],
  ['STORAGE_URL', 's3://bucket?regoin=x'],
])('%s=%s is named with what was expected', (name, value) => {
  expect(() => readSettings({ [name]: value })).toThrow(new RegExp(`${name}: expected .+, got`))
})

test('keys in a URL are refused, and not repeated', () => {
  expect(() => readSettings({ STORAGE_URL: 's3://key:secret@bucket' })).toThrow(/AWS_ACCESS_KEY_ID/)
  expect(() => readSettings({ STORAGE_URL: 's3://key:secret@bucket' })).not.toThrow(/secret@/)
})

test('all problems are told at once', () => {
  expect(() => readSettings({ MAX_UPLOAD_BYTES: 'x', MAX_TEMP_BYTES: 'y' })).toThrow(/MAX_UPLOAD_BYTES[^]+MAX_TEMP_BYTES/)
})
