// Reads a checklist as STIG Manager does; prints how many reviews of each result it takes, fails where it takes none.
import fs from 'node:fs';
import { reviewsFromCklb } from '@nuwcdivnpt/stig-manager-client-modules';

const settings = { enabled: 'always', required: 'optional' };
const read = reviewsFromCklb({
  data: fs.readFileSync(process.argv[2], 'utf8'),
  sourceRef: 'packet',
  fieldSettings: { detail: settings, comment: settings },
  allowAccept: false,
  importOptions: {
    autoStatus: 'saved', unreviewed: 'always', unreviewedCommented: 'informational',
    emptyDetail: 'ignore', emptyComment: 'ignore', allowCustom: true,
  },
});
const counts = {};
for (const list of read.checklists) {
  if (list.benchmarkId !== 'CAN_Ubuntu_22-04_LTS_STIG' || list.revisionStr !== 'V2R8') throw new Error('another STIG');
  for (const review of list.reviews) {
    if (!/^SV-\d+r\d+_rule$/.test(review.ruleId)) throw new Error(`no rule: ${review.ruleId}`);
    counts[review.result] = (counts[review.result] ?? 0) + 1;
  }
}
const written = JSON.parse(fs.readFileSync(process.argv[2], 'utf8')).stigs.flatMap((stig) => stig.rules).length;
const taken = Object.values(counts).reduce((sum, count) => sum + count, 0);
if (taken === 0 || taken !== written) throw new Error(`${taken} of ${written} reviews were taken`);
console.log(JSON.stringify(counts));
