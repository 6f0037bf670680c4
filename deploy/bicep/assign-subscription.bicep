// The role on every cluster of the subscription.
targetScope = 'subscription'

@description('Object ID of the managed identity.')
param principalId string

@description('ID of the role definition.')
param roleId string

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(subscription().id, principalId, roleId)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: roleId
  }
}
