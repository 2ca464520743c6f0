-- As Orthanc's manual shows it: each instance goes on as soon as it is stored.
function OnStoredInstance(instanceId, tags, metadata, origin)
   SendToModality(instanceId, 'WRITER0')
   SendToModality(instanceId, 'WRITER1')
   SendToModality(instanceId, 'WRITER2')
end
