-- Each study goes on when nothing has come of it for StableAge seconds, to all writers at a time.
function OnStableStudy(studyId, tags, metadata)
   local job = {}
   job['Resources'] = { studyId }
   job['Asynchronous'] = true
   for _, writer in ipairs({ 'WRITER0', 'WRITER1', 'WRITER2' }) do
      RestApiPost('/modalities/' .. writer .. '/store', DumpJson(job), false)
   end
end
