// Stands for zarrita's own codecs, which src/codecs.ts replaces.
export default undefined;
