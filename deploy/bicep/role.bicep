// What Midwatch may do: find clusters, enter them, and, with Azure RBAC for Kubernetes, work in them.
targetScope = 'subscription'

@description('Whether the role holds the rights in the clusters, too.')
param azureRbac bool

var prefix = 'Microsoft.ContainerService/managedClusters'

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, 'midwatch')
  properties: {
    roleName: 'Midwatch (${subscription().subscriptionId})'
    description: 'Finds AKS clusters, cordons and drains their nodes, and reboots them.'
    type: 'CustomRole'
    assignableScopes: [
      subscription().id
    ]
    permissions: [
      {
        actions: [
          '${prefix}/read'
          '${prefix}/listClusterUserCredential/action'
          'Microsoft.ContainerService/fleets/members/read'
        ]
        dataActions: azureRbac
          ? [
              '${prefix}/apps/daemonsets/read'
              '${prefix}/coordination.k8s.io/leases/read'
              '${prefix}/coordination.k8s.io/leases/write'
              '${prefix}/events/read'
              '${prefix}/events/write'
              '${prefix}/nodes/read'
              '${prefix}/nodes/write'
              '${prefix}/persistentvolumeclaims/read'
              '${prefix}/pods/delete'
              '${prefix}/pods/read'
              '${prefix}/pods/write'
              '${prefix}/policy/poddisruptionbudgets/read'
              '${prefix}/storage.k8s.io/volumeattachments/read'
            ]
          : []
      }
    ]
  }
}

output roleId string = role.id
