// Midwatch in a subscription: the function app with all that belongs to it, and its rights on the clusters.
targetScope = 'subscription'

@description('Name of the environment; azd sets it. The resource names are made from it.')
@minLength(2)
@maxLength(20)
param environmentName string

@description('Region of everything but the role.')
param location string

@description('Name of the resource group to create for the app.')
param resourceGroupName string = 'rg-midwatch-${environmentName}'

@description('When the timer starts a run: NCRONTAB with six fields, seconds first, in UTC.')
param schedule string = '0 0 22 * * 6'

@description('The policy: a path in the deployed package, or the https URL of a blob that the identity may read.')
param policyFile string = 'policy.yaml'

@description('Resource groups of this subscription whose clusters Midwatch may find and enter. Empty: the whole subscription.')
param clusterResourceGroups array = []

@description('Whether clusters use Azure RBAC for Kubernetes: then the role holds the rights in the clusters, too. Else apply deploy/rbac to each cluster.')
param azureRbac bool = true

@description('Client ID of an app registration: callers of the HTTP API must sign in with Entra ID. Empty: function keys alone protect the API.')
param entraClientId string = ''

@description('Mail address for alerts. Empty: the alerts are there, and tell nobody.')
param alertEmail string = ''

@description('ID of a subnet that is delegated to Microsoft.App/environments, for private clusters. Empty: no virtual network.')
param subnetId string = ''

@description('Whether the state of runs is kept by Durable Task Scheduler instead of the storage account.')
param durableTaskScheduler bool = false

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: {
    'azd-env-name': environmentName
  }
}

module app 'app.bicep' = {
  name: 'midwatch-app'
  scope: group
  params: {
    location: location
    environmentName: environmentName
    schedule: schedule
    policyFile: policyFile
    entraClientId: entraClientId
    subnetId: subnetId
    durableTaskScheduler: durableTaskScheduler
  }
}

module watch 'watch.bicep' = {
  name: 'midwatch-watch'
  scope: group
  params: {
    location: location
    insightsId: app.outputs.insightsId
    alertEmail: alertEmail
  }
}

module role 'role.bicep' = {
  name: 'midwatch-role'
  params: {
    azureRbac: azureRbac
  }
}

module inSubscription 'assign-subscription.bicep' = if (empty(clusterResourceGroups)) {
  name: 'midwatch-assign'
  params: {
    principalId: app.outputs.principalId
    roleId: role.outputs.roleId
  }
}

module inGroups 'assign-group.bicep' = [
  for name in clusterResourceGroups: {
    name: 'midwatch-assign-${uniqueString(name)}'
    scope: resourceGroup(name)
    params: {
      principalId: app.outputs.principalId
      roleId: role.outputs.roleId
    }
  }
]

@description('Name of the function app.')
output functionAppName string = app.outputs.functionAppName

@description('Object ID of the managed identity: the user that the clusters see.')
output principalId string = app.outputs.principalId
